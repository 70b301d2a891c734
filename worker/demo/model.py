"""The demo's classifier: a head on the offline encoder, trained once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from worker import __version__
from worker.demo.texts import Text
from worker.errors import Stop
from worker.model.folder import HEAD_CONFIG, MINILM, read_folder

HELD_BACK_SHARE = 0.1  # of the training texts, for the training's own figure


def trained(directory: Path, texts: Sequence[Text], say: Callable[[str], None]) -> Path:
    """A model directory for exactly these texts, trained unless it is there. Raises `SettingsError`."""
    out = directory.resolve() / "model" / _fingerprint(texts)
    if not (out / HEAD_CONFIG).exists():
        say(f"training a head on {MINILM} with {len(texts):,} texts; under a minute, once")
        _train(out, texts)
    config = json.loads((out / HEAD_CONFIG).read_text(encoding="utf-8"))
    say(f"kinds of text: {', '.join(config['labels'])}")
    return out


@contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Keep a second demo out of the directory. Raises `Stop`."""
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Stop(f"another demo is using {directory}; end it, or choose another --dir") from None
        yield


def _train(out: Path, texts: Sequence[Text]) -> None:
    from worker.training.head import train_head

    train_head(
        encoder=MINILM,
        texts=[text.text for text in texts],
        labels=[text.kind for text in texts],
        out=out,
        max_texts=len(texts),
        held_back_share=HELD_BACK_SHARE,
    )


def _fingerprint(texts: Sequence[Text]) -> str:
    """Changes with the encoder, the texts and our version."""
    digest = hashlib.sha256(f"{__version__} {read_folder(MINILM).revision}".encode())
    for text in texts:
        digest.update(f"\0{text.kind}\0{text.text}".encode())
    return digest.hexdigest()[:12]
