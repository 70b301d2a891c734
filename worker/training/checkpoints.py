"""Where an interrupted fine-tuning goes on: a directory beside its result, for one training at a time.

Its checkpoints are Trainer's: the weights in safetensors; optimizer, schedule and random numbers as torch.save writes
them, which Trainer reads with `weights_only`, so that nothing in them is ever run. They never leave this directory.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worker.errors import SettingsError, Stop
from worker.training.progress import Progress

RUN, LOCK = "run.json", "lock"
STATE = "trainer_state.json"  # the last file of a checkpoint that Trainer writes


@contextmanager
def scratch(out: Path, run: Mapping[str, Any], progress: Progress) -> Iterator[Path]:
    """The directory that belongs to `out`, gone if the block ends well.

    What it holds of a training other than `run` (data, base, options) is thrown away. Raises `Stop` while another
    training holds it, `SettingsError` where it cannot be made.
    """
    place = out.absolute().parent / f".{out.name}.training"
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = (place / LOCK).open("w")
    except OSError as error:
        raise SettingsError(f"cannot write {place}: {error.strerror}; choose another --out") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Stop(f"another training is writing {out}; wait for it or end it, or choose another --out") from None
        _begin(place, run, progress)
        yield place
        shutil.rmtree(place)


def last_checkpoint(place: Path) -> Path | None:
    """The newest whole one; those that an interruption has left half written are removed."""
    whole: dict[int, Path] = {}
    for found in place.glob("checkpoint-*"):
        if _is_whole(found):
            whole[int(found.name.rpartition("-")[2])] = found
        else:
            shutil.rmtree(found)
    return whole[max(whole)] if whole else None


def _begin(place: Path, run: Mapping[str, Any], progress: Progress) -> None:
    written = json.dumps(run, indent=1, sort_keys=True)
    file = place / RUN
    if file.exists() and file.read_text(encoding="utf-8") == written:
        return
    if file.exists():
        progress.say("the interrupted training had other data, options or versions: starting anew")
    for kept in place.iterdir():
        if kept.is_dir():
            shutil.rmtree(kept)
        elif kept.name != LOCK:
            kept.unlink()
    file.write_text(written, encoding="utf-8")


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / STATE).read_bytes())
    except (OSError, ValueError):
        return False
    return True
