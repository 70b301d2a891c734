"""The model card: what a model is, what it was trained on and how good it is. No text of the data is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from worker.evaluation.outcome import Evaluation
from worker.evaluation.terminal import worst
from worker.evaluation.wording import FIGURES, confused, shortfalls, span, threshold_line
from worker.model.manifest import Manifest
from worker.training.compared import TITLES, Compared, notes, table
from worker.training.corpus import SPLITS, Corpus
from worker.training.job import Job

NOTHING_KNOWN = ("## Quality", "There was no test part: nothing is known of it.")
MAX_LABELS = 100  # rows of a table that somebody still reads


def card(
    job: Job,
    corpus: Corpus,
    manifest: Manifest,
    chosen: Mapping[str, float | int | str],
    evaluation: Evaluation | None,
    no_baseline: str = "",
    plots: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Markdown. The same training gives the same card. `no_baseline`: why there is none beside it. `plots`: their
    titles, and the files beside the card.
    """
    blocks = [
        *_what(job, manifest, evaluation),
        *_use(job, manifest),
        *_data(corpus),
        *(_quality(evaluation, no_baseline) if evaluation else NOTHING_KNOWN),
        *_plots(plots),
        *_compared(job.compared),
        *_making(job, manifest, chosen),
    ]
    return "\n\n".join(blocks) + "\n"


def _what(job: Job, manifest: Manifest, evaluation: Evaluation | None) -> Iterator[str]:
    yield f"# {_cell(job.out.name)}"
    if evaluation is not None and evaluation.against is not None:
        yield f"**{_cell(evaluation.verdict)}**"
    yield from (f"**{_cell(line)}**" for line in shortfalls(evaluation.thresholds if evaluation else ()))
    each = "one of" if manifest.kind == "single" else "any number of"
    names = ", ".join(f"`{_cell(label)}`" for label in manifest.labels[:MAX_LABELS])
    yield f"Gives each text {each} {len(manifest.labels)} labels: {names}."
    how = {"head": "a linear head on the frozen encoder", "full": "all layers trained"}
    tune = how.get(job.tune, f"the layers {job.tune} trained")
    yield f"Made of {_cell(job.base.name)} by tagstream, {tune}, on the features {manifest.features}."


def _plots(plots: Mapping[str, str]) -> Iterator[str]:
    if plots:
        yield "### Plots"
        yield from (f"![{_cell(title)}]({file})" for title, file in plots.items())
        yield "All of it on one page, with what is sliced by length: [report.html](report.html)."


def _use(job: Job, manifest: Manifest) -> Iterator[str]:
    yield "## Use"
    options = manifest.preparation.options if manifest.preparation else {}
    prepared = [f"      {name}: {_yaml(value)}" for name, value in options.items() if name != "redact"]
    if "redact" in options:
        prepared += [f"      redact: {_yaml(options['redact'])}", "      redact_before_model: true"]
    if "normalize" not in options:
        prepared += ["      normalize: none"]
    yield "\n".join(["    model:", f"      path: {job.out.name}", "    text:", *prepared])
    yield (
        "in the settings of `tagstream run`, `tag` and `check`. Scores have their temperature already"
        f" ({manifest.temperature:.3f}, folded into the weights)."
        if manifest.temperature is not None
        else "in the settings of `tagstream run`, `tag` and `check`. Scores are not calibrated: no validation part."
    )
    if manifest.thresholds:
        yield _table(("label", "sure from"), ((name, f"{at:.4f}") for name, at in manifest.thresholds.items()))


def _data(corpus: Corpus) -> Iterator[str]:
    yield "## Data"
    counts = {split: Counter(label for e in corpus.of(split) for label in e.labels) for split in SPLITS}
    shown = corpus.labels[:MAX_LABELS]
    rows = [("all texts", *(f"{len(corpus.of(split)):,}" for split in SPLITS))]
    rows += [(label, *(f"{counts[split][label]:,}" for split in SPLITS)) for label in shown]
    yield _table(("label", *SPLITS), rows)
    left = ", ".join(f"{reason} {count:,}" for reason, count in corpus.dropped.items()) or "nothing"
    yield f"Left out: {left}. Fingerprint `{corpus.fingerprint[:16]}`."


def _quality(evaluation: Evaluation, no_baseline: str) -> Iterator[str]:
    yield "## Quality"
    yield f"On {evaluation.facts.texts['judged']:,} texts of the test part, with 95 % bootstrap intervals."
    figures = evaluation.quality.figures
    yield _table(("figure", "value"), ((title, span(figures.get(name))) for name, title in FIGURES.items()))
    yield from _baselines(evaluation, no_baseline)
    labels = worst(evaluation.quality.labels, MAX_LABELS)
    yield _table(
        ("label", "texts", "precision", "recall", "F1"),
        ((x.label, f"{x.support:,}", span(x.precision), span(x.recall), span(x.f1)) for x in labels),
    )
    if mistakes := confused(evaluation):
        yield "Most frequent mistakes:"
        yield _table(("right", "given", "texts"), ((a, b, f"{count:,}") for a, b, count in mistakes))
    yield "### Calibration"
    rows = (("before", evaluation.before), ("after temperature", evaluation.after))
    yield _table(("", "ECE (90 %)", "NLL"), ((name, span(found.ece), f"{found.nll:.4f}") for name, found in rows))
    yield "Accuracy if only the surest texts are decided and the rest is reviewed:"
    yield _table(
        ("surest", "score from", "accuracy"),
        ((f"{p.share:.0%}", f"{p.above:.3f}", span(p.accuracy)) for p in evaluation.coverage),
    )
    yield from (_cell(threshold_line(threshold)) for threshold in evaluation.thresholds)


def _baselines(evaluation: Evaluation, why_none: str) -> Iterator[str]:
    """Those that were quick enough to be fitted by the way."""
    if not evaluation.baselines:
        yield f"No baselines beside it{f', as {why_none}' if why_none else ''}: see `tagstream evaluate`."
        return
    yield "Linear models on TF-IDF, trained on the same texts; `tagstream evaluate` has more of them:"
    own = ("this model", evaluation.quality.figures)
    others = ((f"{b.name} on {b.features}", b.figures) for b in evaluation.baselines)
    rows = ((name, span(found["accuracy"]), span(found["macro_f1"])) for name, found in (own, *others))
    yield _table(("", "accuracy", "macro F1"), rows)


def _compared(compared: Sequence[Compared]) -> Iterator[str]:
    if compared:
        yield "## Why this recipe"
        yield "On the validation part, cheapest first:"
        yield _table(TITLES, table(compared))
        yield from map(_cell, notes(compared))


def _making(job: Job, manifest: Manifest, chosen: Mapping[str, float | int | str]) -> Iterator[str]:
    yield "## How it was made"
    facts = {
        "base": f"{job.base.name} ({job.base.revision})",
        "tune": job.tune,
        "features": manifest.features,
        "class weights": "balanced" if job.balanced else "none",
        "seed": job.seed,
        **chosen,
        **manifest.versions,
    }
    yield _table(("what", "value"), ((name, str(value)) for name, value in facts.items()))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """One line that ends no cell."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()).replace("|", "\\|").replace("`", "'")


def _yaml(value: object) -> str:
    """A setting as a person writes it; lists of names, booleans and names are all that there is."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
