"""`tagstream train --feedback`: corrections join the data; a new model replaces the one in use unless it is worse."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.options import print_json
from worker.errors import SettingsError, Stop

if TYPE_CHECKING:
    from worker.evaluation.replacement import Replacement
    from worker.model.folder import ModelFolder
    from worker.settings import Settings
    from worker.training.corpus import Corpus
    from worker.training.corrections import Corrected
    from worker.training.finish import Trained
    from worker.training.progress import Progress


@dataclass(frozen=True, slots=True)
class Replacing:
    """The model in `out`, which is in use, and the corrections that a new one is to learn from."""

    out: Path
    feedback: Path
    in_use: ModelFolder

    @classmethod
    def of(cls, out: Path, feedback: Path | None) -> Replacing | None:
        """None where none are given. Raises `SettingsError` where they are not there, or no model is in use."""
        from worker.training.replacing import model_in_use

        if feedback is None:
            return None
        if not feedback.exists():
            raise SettingsError(f"{feedback} does not exist; `tagstream feedback collect` writes it")
        return cls(out, feedback, model_in_use(out))

    @property
    def place(self) -> Path:
        """Where the new model is to be made."""
        from worker.training.replacing import new_place

        return new_place(self.out)

    def corrected(self, data: Corpus, progress: Progress) -> Corrected:
        """The data with the corrections in it, and what there is to say of them. Raises `SettingsError`."""
        from worker.training.corrections import corrected

        found = corrected(data, self.feedback, self.in_use)
        for note in found.notes:
            progress.say(note)
        return found

    def end(
        self, trained: Trained, held: Corrected, settings: Settings, seed: int, as_json: bool, progress: Progress
    ) -> None:
        """Compare, put the new model where it belongs, and say so. Raises `Stop` where it is refused."""
        from worker.cli.training import summary
        from worker.engines import recipe_of
        from worker.evaluation.replacement import lines
        from worker.training.replacing import compare_models, settle

        found = compare_models(
            self.out,
            self.place,
            held.corpus.test,
            held.held_back,
            recipe=recipe_of(settings),
            progress=progress,
            seed=seed,
        )
        trained = replace(trained, out=_shown(settle(self.out, found)))
        if as_json:
            told = {field.name: getattr(trained, field.name) for field in fields(trained)}
            print_json({**told, "replacement": found, "refusal": found.refusal})
        else:
            click.echo("" if found.refusal else summary(trained), nl=False)
            click.echo("\n".join(lines(found)))
        if found.refusal:
            raise Stop(_refused(found, self.out, trained.out))
        if not as_json:
            click.echo(f"it has replaced the model in {self.out}")


def _refused(found: Replacement, out: Path, kept: str) -> str:
    from worker.evaluation.replacement import worse_labels

    where = f"; worse on {lost}" if (lost := worse_labels(found)) else ""
    return f"the new model is worse than that in {out}, which stays: {found.refusal}{where}; it is kept in {kept}"


def _shown(path: Path) -> str:
    """As one would write it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
