"""A fine-tuning that is interrupted goes on where it was, and ends with the very weights that it would have had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.toy import ONE_THREAD, QUICK, corpus_of, job_of, write_base
from worker.errors import Stop
from worker.training import finetune as finetuning
from worker.training import trainer
from worker.training.corpus import Corpus
from worker.training.finetune import finetune
from worker.training.finish import Trained
from worker.training.progress import Progress, Silence, Task
from worker.training.trainer import FineTuning

STEPS = 12  # of an epoch: 96 texts in batches of 8
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.training.test_resuming import Interrupting, tuned
from tests.training.toy import corpus_of
tuned(Path(sys.argv[1]), Path(sys.argv[2]), corpus_of(), Interrupting(30, lambda: os.kill(os.getpid(), signal.SIGKILL)))
"""


class Interrupting(Silence):
    """Calls `then` at so many steps."""

    def __init__(self, at: int, then: object) -> None:
        self._at = at
        self._then = then
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    @contextmanager
    def task(self, what: str, steps: int) -> Iterator[Task]:
        done = 0

        def advance(more: int, note: str = "") -> None:
            nonlocal done
            done += more
            if what == "training" and more and done >= self._at:
                self._at = 10_000
                self._then()  # type: ignore[operator]

        yield advance


def interrupt() -> None:
    raise KeyboardInterrupt


def tuned(
    base: Path, out: Path, corpus: Corpus, progress: Progress, *, seed: int = 0, options: FineTuning = QUICK
) -> Trained:
    job = job_of(base, out, "top:2", seed=seed)
    return finetune(corpus, job, top=2, progress=progress, options=options, machine=ONE_THREAD)


def interrupted(base: Path, out: Path, at: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        tuned(base, out, corpus_of(), Interrupting(at, interrupt))
    assert not out.exists()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Weights of the training that nobody interrupts."""
    out = tmp_path_factory.mktemp("whole") / "out"
    tuned(base, out, corpus_of(), Silence())
    return weights(out)


def weights(out: Path) -> bytes:
    return (out / "model.safetensors").read_bytes()


def checkpoints(out: Path) -> list[Path]:
    return sorted((out.parent / f".{out.name}.training").glob("checkpoint-*"))


@pytest.mark.parametrize(("at", "step"), [(STEPS + 3, STEPS), (3 * STEPS, 2 * STEPS), (4, None)])
def test_it_goes_on_at_the_last_epoch(base: Path, whole: bytes, tmp_path: Path, at: int, step: int | None) -> None:
    """Ctrl-C and the same command again: no epoch twice, the same weights; before the first one it begins anew."""
    out = tmp_path / "out"
    interrupted(base, out, at)
    again = Interrupting(10_000, interrupt)
    tuned(base, out, corpus_of(), again)
    assert weights(out) == whole
    said = [line for line in again.lines if "going on" in line]
    assert said == ([f"going on with the interrupted training, at step {step}"] if step else [])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_long_epochs_have_checkpoints_in_between(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There too each text is met once: the weights are those of a training without interruption."""
    monkeypatch.setattr(trainer, "CHECKPOINT_STEPS", 5)
    tuned(base, tmp_path / "whole", corpus_of(), Silence())
    interrupted(base, tmp_path / "out", STEPS + 7)
    assert [path.name for path in checkpoints(tmp_path / "out")][-1] == f"checkpoint-{STEPS + 4}"
    tuned(base, tmp_path / "out", corpus_of(), Silence())
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


def test_it_survives_being_killed(base: Path, whole: bytes, tmp_path: Path) -> None:
    """kill -9 leaves a checkpoint that the next call goes on with."""
    out = tmp_path / "out"
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run([sys.executable, "-c", KILLED, str(base), str(out)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert checkpoints(out)
    tuned(base, out, corpus_of(), Silence())
    assert weights(out) == whole


def test_a_checkpoint_that_is_not_whole_does_not_count(base: Path, whole: bytes, tmp_path: Path) -> None:
    """It was being written when the training was killed: the one before is taken."""
    out = tmp_path / "out"
    interrupted(base, out, 3 * STEPS)
    assert len(checkpoints(out)) == 2
    state = checkpoints(out)[-1] / "trainer_state.json"
    state.write_bytes(state.read_bytes()[:-20])
    again = Interrupting(10_000, interrupt)
    tuned(base, out, corpus_of(), again)
    assert again.lines[0].endswith(f"at step {STEPS}")
    assert weights(out) == whole


@pytest.mark.parametrize(
    "options", [QUICK, replace(QUICK, epochs=9, learning_rate=0.1, patience=1)], ids=["all", "early"]
)
def test_one_that_had_ended_is_only_written(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: FineTuning
) -> None:
    """Interrupted between training and writing: nothing is learned after all epochs, or after an early end."""
    whole = tuned(base, tmp_path / "whole", corpus_of(), Silence(), options=options)
    with monkeypatch.context() as patched:
        patched.setattr(finetuning, "write_classifier", lambda *_, **__: interrupt())
        with pytest.raises(KeyboardInterrupt):
            tuned(base, tmp_path / "out", corpus_of(), Silence(), options=options)
    again = Interrupting(10_000, interrupt)
    found = tuned(base, tmp_path / "out", corpus_of(), again, options=options)
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert found.chosen == whole.chosen
    assert not [line for line in again.lines if "validation" in line]


@pytest.mark.parametrize("other", ["data", "seed"])
def test_another_training_does_not_go_on_with_it(base: Path, whole: bytes, tmp_path: Path, other: str) -> None:
    """Other data or options: it says so, and begins anew."""
    interrupted(base, tmp_path / "out", 3 * STEPS)
    again = Interrupting(10_000, interrupt)
    corpus = replace(corpus_of(), fingerprint="e" * 64) if other == "data" else corpus_of()
    tuned(base, tmp_path / "out", corpus, again, seed=int(other == "seed"))
    assert "starting anew" in again.lines[0]
    assert not [line for line in again.lines if "going on" in line]
    assert (weights(tmp_path / "out") == whole) == (other == "data")


def test_two_trainings_do_not_write_the_same_model(base: Path, tmp_path: Path) -> None:
    """The second ends at once, and the first is not disturbed."""

    def second() -> None:
        with pytest.raises(Stop, match="another training is writing"):
            tuned(base, tmp_path / "out", corpus_of(), Silence())

    first = Interrupting(STEPS, second)
    tuned(base, tmp_path / "out", corpus_of(), first)
    assert (tmp_path / "out" / "tagstream.json").exists()


def test_weights_are_kept_in_safetensors(base: Path, tmp_path: Path) -> None:
    """Of a checkpoint; what torch.save writes beside them is Trainer's own state, read with weights_only."""
    interrupted(base, tmp_path / "out", STEPS + 3)
    (checkpoint,) = checkpoints(tmp_path / "out")
    assert (checkpoint / "model.safetensors").exists()
    others = {path.name for path in checkpoint.iterdir() if path.suffix not in (".json", ".safetensors")}
    assert others == {"optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"}
