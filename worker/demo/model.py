"""The demo's classifier: a head on the offline encoder, trained once and kept."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from worker import __version__
from worker.demo.texts import Text
from worker.errors import Stop
from worker.model.folder import MINILM, read_folder
from worker.model.manifest import FORMAT
from worker.rules import make_preparation
from worker.settings import Settings

EVERY = 10  # of ten training texts one is for the validation part, and one for the training's own figure


def trained(directory: Path, texts: Sequence[Text], say: Callable[[str], None]) -> Path:
    """A model directory for exactly these texts, trained unless it is there. Raises `SettingsError`."""
    out = directory.resolve() / "model" / _fingerprint(texts)
    if not out.exists():
        say(f"training a head on {MINILM} with {len(texts):,} texts; under a minute, once")
        _train(out, texts)
    say(f"kinds of text: {', '.join(read_folder(str(out)).labels)}")
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
    from worker.training.corpus import Corpus, Example, fingerprint
    from worker.training.head import train_head
    from worker.training.job import Job, prepared
    from worker.training.progress import Silence

    examples = [Example(text.text, (text.kind,)) for text in texts]
    train = tuple(example for i, example in enumerate(examples) if i % EVERY > 1)
    valid, test = tuple(examples[0::EVERY]), tuple(examples[1::EVERY])
    labels = tuple(sorted({text.kind for text in texts}))
    digest = fingerprint("single", {"train": train, "valid": valid, "test": test})
    corpus = Corpus("single", labels, train, valid, test, dropped={}, fingerprint=digest)
    preparation = make_preparation(Settings())
    job = Job(read_folder(MINILM).without_head(), out, "head", preparation)
    train_head(prepared(corpus, preparation), job, cache=out.with_name(f"{out.name}.cache"), progress=Silence())


def _fingerprint(texts: Sequence[Text]) -> str:
    """Changes with the encoder, the texts, our version and the format of what training writes."""
    digest = hashlib.sha256(f"{__version__} {FORMAT} {read_folder(MINILM).revision}".encode())
    for text in texts:
        digest.update(f"\0{text.kind}\0{text.text}".encode())
    return digest.hexdigest()[:12]
