"""The last steps of every training: the manifest, the measures on the test part, the model card."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from worker import __version__
from worker.evaluation.judge import evaluate
from worker.evaluation.outcome import Evaluation, Facts
from worker.evaluation.thresholds import Threshold
from worker.model.folder import ModelFolder, checksums, read_folder
from worker.model.manifest import MANIFEST, DataOrigin, EncoderOrigin, Features, HeadKind, Manifest, Prepared
from worker.text.preparation import recorded
from worker.training.beside import Beside, fit_beside
from worker.training.calibrated import Calibrated
from worker.training.card import card
from worker.training.compared import Answered, Compared
from worker.training.corpus import SPLITS, Corpus
from worker.training.job import Job
from worker.training.progress import Progress

CARD = "README.md"
REPORT = "report.html"
PLOTS = "plots"
LIBRARIES = ("torch", "transformers", "scikit-learn", "numpy")


@dataclass(frozen=True, slots=True)
class Fitted:
    """How a training went: `labels` in the order of the model's scores, `unread` texts that it could not read.

    `chosen` are the values that the training chose itself, by name, such as C or the best epoch.
    """

    labels: tuple[str, ...]
    head: HeadKind
    features: Features
    calibrated: Calibrated
    chosen: dict[str, float | int | str]
    unread: int = 0


@dataclass(frozen=True, slots=True)
class Trained:
    """What has been written. `evaluation` is of the test part, None where there is none.

    `no_baseline` says why none is in it; `compared` is what the recipe was chosen of.
    """

    out: str
    revision: str
    manifest: dict[str, object]
    chosen: dict[str, float | int | str]
    thresholds: tuple[Threshold, ...]
    unread: int
    evaluation: Evaluation | None
    no_baseline: str = ""
    compared: tuple[Compared, ...] = ()


def finish(
    built: Path,
    corpus: Corpus,
    job: Job,
    fitted: Fitted,
    *,
    valid: Answered | None,
    test: Answered | None,
    progress: Progress,
) -> Trained:
    """Describe the model in `built`, whose weights have their temperature already. The test part is used here only.

    Raises `SettingsError` where the directory is not one that the worker would read.
    """
    manifest = _manifest(corpus, job, fitted)
    manifest.write(built)
    folder = read_folder(str(built))
    files = [file for file in folder.files if file != MANIFEST]
    manifest = manifest.model_copy(update={"checksums": checksums(built, files)})
    manifest.write(built)
    folder = read_folder(str(built))
    beside = fit_beside(corpus, test, seed=job.seed, progress=progress) if test and job.beside else Beside()
    evaluation = _evaluation(folder, corpus, job, fitted, valid, test, beside)
    plots = _draw(built, evaluation) if evaluation and all(map(find_spec, ("matplotlib", "jinja2"))) else {}
    written = card(job, corpus, manifest, fitted.chosen, evaluation, beside.left_out, plots)
    (built / CARD).write_text(written, encoding="utf-8")
    return Trained(
        out=str(job.out),
        revision=folder.revision,
        manifest=manifest.model_dump(mode="json", exclude_none=True),
        chosen=fitted.chosen,
        thresholds=evaluation.thresholds if evaluation else fitted.calibrated.thresholds,
        unread=fitted.unread,
        evaluation=evaluation,
        no_baseline=beside.left_out,
        compared=job.compared,
    )


def _draw(built: Path, evaluation: Evaluation) -> dict[str, str]:
    """The report, and the plots that the card shows: title and file."""
    from worker.evaluation.page import page
    from worker.evaluation.plots import draw

    (built / REPORT).write_text(page(evaluation), encoding="utf-8")
    (built / PLOTS).mkdir()
    shown: dict[str, str] = {}
    for name, svg in draw(evaluation).items():
        shown[name] = f"{PLOTS}/{name}.svg"
        (built / shown[name]).write_text(svg, encoding="utf-8")
    return shown


def counts_of(corpus: Corpus) -> dict[str, int]:
    return {split: len(corpus.of(split)) for split in SPLITS if corpus.of(split)}


def _manifest(corpus: Corpus, job: Job, fitted: Fitted) -> Manifest:
    base = job.base
    return Manifest(
        labels=fitted.labels,
        kind=corpus.kind,
        head=fitted.head,
        features=fitted.features,
        temperature=fitted.calibrated.temperature,
        thresholds={threshold.target.label: threshold.at for threshold in fitted.calibrated.thresholds},
        encoder=EncoderOrigin(name=base.name, path=str(base.root), revision=base.revision),
        tune=job.tune,
        preparation=Prepared(**recorded(job.preparation)),
        data=DataOrigin(fingerprint=corpus.fingerprint, counts=counts_of(corpus)),
        versions={"tagstream": __version__, **{name: version(name) for name in LIBRARIES}},
    )


def _evaluation(
    folder: ModelFolder,
    corpus: Corpus,
    job: Job,
    fitted: Fitted,
    valid: Answered | None,
    test: Answered | None,
    beside: Beside,
) -> Evaluation | None:
    if test is None:
        return None
    facts = Facts(
        model=job.out.name,
        revision=folder.revision,
        kind=corpus.kind,
        data="the training's own data",
        fingerprint=corpus.fingerprint,
        split="test",
        texts={**counts_of(corpus), "judged": len(test.texts)},
        dropped=dict(corpus.dropped),
        unread=fitted.unread,
        temperature=fitted.calibrated.temperature,
    )
    return evaluate(
        facts=facts,
        valid=valid.answers if valid else None,
        test=test.answers,
        lengths=[len(text) for text in test.texts],
        baselines=beside.baselines,
        targets=job.targets,
        seed=job.seed,
    )
