"""What has happened to clusters, as a tree: where each id came from, what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from schemas.clusters import ClusterEvent

TWIG, LAST_TWIG, BRANCH, BLANK = "├─ ", "└─ ", "│  ", "   "


@dataclass(slots=True)
class Chapter:
    """One thing that happened to an id; `child` is who came out of it."""

    at: datetime
    text: str
    child: int | None = None


@dataclass(slots=True)
class Life:
    """Of one id. `parent` None: nobody is known to have been before it."""

    id: int
    parent: int | None = None
    ended: bool = False
    chapters: list[Chapter] = field(default_factory=list)


class Story:
    """Of all ids of one table, from its events in their order. `names` are those that living ids have now."""

    def __init__(self, events: Iterable[ClusterEvent], names: Mapping[int, str]) -> None:
        self._names: dict[int, str] = {}
        self._lives: dict[int, Life] = {}
        for event in events:
            self._names |= {int(one): name for one, name in event.names.items()}
            self._tell(event)
        self._names |= names

    def ids(self) -> list[int]:
        return sorted(self._lives)

    def lines(self, only: int | None = None) -> Iterator[str]:
        """The whole tree, or the one that an id belongs to. `KeyError` for an id of which nothing is known."""
        roots = [life for life in self._lives.values() if life.parent is None]
        if only is not None:
            roots = [self._root(self._lives[only])]
        for root in sorted(roots, key=lambda life: life.id):
            yield from self._tree(root)

    def _root(self, life: Life) -> Life:
        while life.parent is not None:
            life = self._lives[life.parent]
        return life

    def _tree(self, root: Life) -> Iterator[str]:
        """Depth first without recursion: a chain may be as long as the years."""
        waiting: list[tuple[str, str, Life | Chapter]] = [("", "", root)]
        while waiting:
            first, rest, what = waiting.pop()
            if isinstance(what, Life):
                yield f"{first}{self._title(what)}"
                below: list[tuple[str, str, Life | Chapter]] = []
                for chapter, is_last in _marked(what.chapters):
                    twig, under = (LAST_TWIG, BLANK) if is_last else (TWIG, BRANCH)
                    below.append((rest + twig, rest + under, chapter))
                waiting += reversed(below)
                continue
            yield f"{first}{what.at:%Y-%m-%d %H:%M}  {what.text}"
            if what.child is not None:
                waiting.append((f"{rest}{LAST_TWIG}", rest + BLANK, self._lives[what.child]))

    def _title(self, life: Life) -> str:
        return f"{self._called(life.id)}{' †' if life.ended else ''}"

    def _called(self, one: int) -> str:
        return f"{one} “{self._names[one]}”" if one in self._names else str(one)

    def _all(self, ids: list[int]) -> str:
        return ", ".join(map(self._called, ids))

    def _life(self, one: int) -> Life:
        return self._lives.setdefault(one, Life(one))

    def _tell(self, event: ClusterEvent) -> None:
        begun = [one for one in event.children if one not in event.parents]
        ended = [one for one in event.parents if one not in event.children]
        for one in event.parents:
            text = self._of_parent(event, one, begun, ended)
            child = begun[0] if begun else None
            self._life(one).chapters.append(Chapter(event.at, text, child))
        for one in begun:
            life = self._life(one)
            life.parent = event.parents[0] if event.parents else None
            if life.parent is None:
                life.chapters.append(Chapter(event.at, f"born: {event.reason}{_of(event.count)}"))
        for one in ended:
            self._life(one).ended = True

    def _of_parent(self, event: ClusterEvent, one: int, begun: list[int], ended: list[int]) -> str:
        others = [parent for parent in event.parents if parent != one]
        if event.kind == "merged":
            verb = f"went into {self._called(event.children[0])}" if one in ended else f"took in {self._all(others)}"
            return f"{verb}: {event.reason}{_of(event.count)}"
        if event.kind == "renamed":
            return f"called “{self._names.get(one, '')}”: {event.reason}"
        if event.kind == "drifted":
            return f"{event.reason}: goes on as {self._all(begun)}"
        if event.kind == "split":
            return f"split: {event.reason}{_of(event.count)}"
        return f"{event.kind}: {event.reason}"


def _of(count: int) -> str:
    return f" ({count:,} texts)" if count else ""


def _marked(chapters: list[Chapter]) -> Iterator[tuple[Chapter, bool]]:
    for number, chapter in enumerate(chapters, 1):
        yield chapter, number == len(chapters)
