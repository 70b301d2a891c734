"""What every way of training is asked for, and the texts as it reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from worker.evaluation.thresholds import Target
from worker.model.folder import ModelFolder
from worker.text.clean import is_blank
from worker.text.preparation import Preparation
from worker.training.compared import Compared
from worker.training.corpus import Corpus, Example, refuse_untrainable


@dataclass(frozen=True, slots=True)
class Job:
    """Train `base`, a folder without a head, to `out`. `tune` is head, top:N or full; `balanced`: rare labels weigh
    as much as frequent ones. `preparation` has been done to the texts already, and goes into the manifest. `beside`:
    its test figures are to stand beside those of quick baselines. `compared` is what this was chosen of, for the card.
    """

    base: ModelFolder
    out: Path
    tune: str
    preparation: Preparation
    targets: tuple[Target, ...] = ()
    balanced: bool = False
    seed: int = 0
    beside: bool = False
    compared: tuple[Compared, ...] = ()


def prepared(corpus: Corpus, preparation: Preparation) -> Corpus:
    """The corpus with its texts as a worker of these settings would read them. Raises `SettingsError`.

    Its splits and its fingerprint stay those of the texts as they came.
    """
    if not preparation.steps:
        return corpus
    blank: Counter[str] = Counter()

    def ready(examples: Sequence[Example]) -> tuple[Example, ...]:
        done = [replace(example, text=preparation(example.text)) for example in examples]
        kept = tuple(example for example in done if not is_blank(example.text))
        blank["blank_when_prepared"] += len(done) - len(kept)
        return kept

    found = replace(corpus, train=ready(corpus.train), valid=ready(corpus.valid), test=ready(corpus.test))
    found = replace(found, dropped={**corpus.dropped, **{reason: n for reason, n in blank.items() if n}})
    refuse_untrainable(found)
    return found
