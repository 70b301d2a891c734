"""The docs say what the program has: commands, options, settings, metrics, exit codes; their links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import click
import pytest
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from docs.generate import PAGES
from schemas import Reason
from worker.cli import main as cli
from worker.metrics import Metrics
from worker.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MARKDOWN = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
        *(ROOT / "benchmarks").rglob("*.md"),
        *ROOT.glob("examples/*/README.md"),
    ]
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def text(*paths: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Each command by its whole name, groups left out."""
    context = click.Context(cli.tagstream)
    for name in cli.COMMANDS:
        command = cli.tagstream.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", sub) for below, sub in command.commands.items())
        else:
            yield name, command


def settings(annotation: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of everything that a settings file may hold; `[]` stands for the items of a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield f"{prefix}{name}"
            yield from settings(field.annotation, f"{prefix}{name}.")
    elif get_origin(annotation) is tuple:
        yield from settings(get_args(annotation)[0], f"{prefix.rstrip('.')}[].")
    else:
        for part in get_args(annotation):
            yield from settings(part, prefix)


def test_settings_page_names_every_setting() -> None:
    """Each key that a settings file may hold has its line."""
    page = text(DOCS / "settings.md")
    names = [name for name in settings(Settings) if "." in name]
    assert len(names) > 60
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_fresh(name: str) -> None:
    """What is in the tree is what the code gives now; `python -m docs.generate` mends it."""
    assert text(DOCS / name) == PAGES[name]()


def test_every_command_and_option_is_described() -> None:
    """In docs/commands.md under the command's own heading; and the README's table names each command."""
    sections = dict(re.findall(r"^## tagstream ([a-z ]+)\n(.*?)(?=^## |\Z)", text(DOCS / "commands.md"), re.M | re.S))
    readme = text(ROOT / "README.md")
    for name, command in commands():
        options = [p.opts[0] for p in command.params if isinstance(p, click.Option)]
        assert [option for option in options if f"`{option}" not in sections[name]] == [], name
        assert f"`tagstream {name.split()[0]}`" in readme, name


def test_every_metric_is_described() -> None:
    """Each family of the registry is in docs/metrics.md."""
    registry = CollectorRegistry()
    Metrics(registry)
    page = text(DOCS / "metrics.md")
    assert [family.name for family in registry.collect() if f"`{family.name}" not in page] == []


def test_docs_name_no_metric_that_is_not_there() -> None:
    """A metric in the prose exists, whole, or as the beginning or a series of one."""
    registry = CollectorRegistry()
    Metrics(registry)
    known = {family.name for family in registry.collect()}
    named = set(re.findall(r"tagstream_[a-z_]+", text(*MARKDOWN)))
    plain = {name: re.sub(r"_(total|sum|count|bucket)$", "", name).rstrip("_") for name in named}
    assert [name for name in named if not any(have.startswith(plain[name]) for have in known)] == []


def test_every_exit_code_is_described() -> None:
    """For callers in docs/commands.md, for supervisors in docs/operations.md."""
    for page in ("commands.md", "operations.md"):
        for code in (cli.DONE, cli.FAILED, cli.WRONG_CALL, cli.INTERRUPTED):
            assert re.search(rf"^\| {code} \|", text(DOCS / page), re.M), (page, code)


def test_every_reason_of_a_dead_letter_is_described() -> None:
    """docs/delivery.md says when each happens."""
    page = text(DOCS / "delivery.md")
    assert [reason for reason in Reason if f"| `{reason}` |" not in page] == []


def test_readme_names_the_two_commands() -> None:
    """On the first screen."""
    screen = "\n".join(text(ROOT / "README.md").splitlines()[:40])
    assert "make demo" in screen
    assert "make test" in screen


def test_readme_shows_the_demo_as_it_was_recorded() -> None:
    """What the README says the demo prints is docs/demo-output.txt, to the letter."""
    assert f"```\n{text(DOCS / 'demo-output.txt').strip()}\n```" in text(ROOT / "README.md")


@pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in MARKDOWN])
def test_links_lead_somewhere(path: Path) -> None:
    """Relative links name files that exist, and headings that are in them."""
    for link in LINK.findall(text(path)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """As GitHub makes them: lower case, punctuation dropped, spaces to hyphens."""
    titles = re.findall(r"^#+ (.+)$", text(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
