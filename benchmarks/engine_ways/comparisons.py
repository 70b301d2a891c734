"""What is asked of which process, in rounds that alternate, and what is kept of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.engine_ways.questions import Figure, Question, Setup
from benchmarks.engine_ways.seat import Seat
from benchmarks.engine_ways.ways import (
    BATCHED_PIPELINES,
    BATCHES,
    ONE_AT_A_TIME,
    OUR_PROCESS,
    OURS,
    OURS_TWO_MODELS,
    PADDED,
    PIPELINES,
    SENTENCE_TRANSFORMERS,
)

Say = Callable[[str], None]

COMPARED = (
    ONE_AT_A_TIME,
    BATCHES,
    PIPELINES,
    BATCHED_PIPELINES,
    SENTENCE_TRANSFORMERS,
    PADDED,
    OURS_TWO_MODELS,
    OURS,
)
# These read texts in their order, so that the first few of a shuffled set stand for all of it.
IN_ORDER = frozenset((ONE_AT_A_TIME, BATCHES, PIPELINES, BATCHED_PIPELINES))
LENGTHS = (8, 16, 32, 64, 128, 256)
BESIDE_BATCH = 32  # texts of a batch that is computed beside other work


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: texts of one measurement. `sizes` are texts by batch size."""

    rounds: int
    in_order: int
    sorted: int
    sizes: Mapping[int, int]
    tokens_of_a_length: int
    budget: int
    budgets: tuple[int, ...]
    padded_budgets: bool
    beside: int

    @property
    def texts(self) -> int:
        """All that any measurement wants."""
        return max(self.sorted, self.budget, *self.sizes.values())


QUICK = Effort(
    rounds=2,
    in_order=64,
    sorted=384,
    sizes={1: 64, 8: 128, 32: 256, 128: 512, 1024: 1024},
    tokens_of_a_length=4096,
    budget=384,
    budgets=(1024, 2048, 4096, 8192),
    padded_budgets=False,
    beside=128,
)
THOROUGH = Effort(
    rounds=5,
    in_order=256,
    sorted=2048,
    sizes={1: 256, 8: 512, 32: 1024, 128: 1024, 1024: 2048},
    tokens_of_a_length=16_384,
    budget=1024,
    budgets=(512, 1024, 2048, 4096, 8192, 16_384),
    padded_budgets=True,
    beside=512,
)


@dataclass
class Findings:
    """Figures of the rounds: by way, and of our engine by (batch size, packed), text length, (budget, packed)."""

    ways: dict[str, list[Figure]] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    sizes: dict[tuple[int, bool], list[Figure]] = field(default_factory=dict)
    lengths: dict[int, list[Figure]] = field(default_factory=dict)
    budgets: dict[tuple[int, bool], list[Figure]] = field(default_factory=dict)
    overlap: list[Figure] = field(default_factory=list)
    beside: dict[str, list[Figure]] = field(default_factory=dict)


class Comparisons:
    """Of all ways with models that have been written. `setup` is theirs but for the way and the threads."""

    def __init__(self, *, setup: Setup, effort: Effort, say: Say) -> None:
        self._setup = setup
        self._effort = effort
        self._say = say

    def run_all(self) -> Findings:
        """Minutes. Raises `Stop`."""
        found = Findings()
        with contextlib.ExitStack() as stack:
            ours = self._ways(found, stack)
            for number in range(1, self._effort.rounds + 1):
                self._say(f"the engine by batch size, length and budget, round {number} of {self._effort.rounds}")
                self._by_size(found, ours)
                self._by_length(found, ours)
                self._by_budget(found, ours)
                found.overlap.append(ours.ask(self._beside("overlap")))
        if self._setup.device == "cpu":
            self._beside_stages(found)
        return found

    def _ways(self, found: Findings, stack: contextlib.ExitStack) -> Seat:
        """Every way on the same texts; the seat of ours, which stays."""
        seats = self._seats([self._setup.model_copy(update={"way": way}) for way in COMPARED], stack)
        found.unavailable = {way: seat.unavailable for way, seat in seats.items() if seat.unavailable}
        for number in range(1, self._effort.rounds + 1):
            for way, seat in seats.items():
                if not seat.unavailable:
                    self._say(f"{way}, round {number} of {self._effort.rounds}")
                    count = self._effort.in_order if way in IN_ORDER else self._effort.sorted
                    found.ways.setdefault(way, []).append(seat.ask(Question(measure="way", count=count)))
        return seats[OURS]

    def _seats(self, setups: Sequence[Setup], stack: contextlib.ExitStack) -> dict[str, Seat]:
        """They load at the same time, and then wait for each other."""
        seats = {}
        for setup in setups:
            self._say(f"loading: {setup.way}")
            seats[setup.way] = stack.enter_context(Seat(setup))
        for seat in seats.values():
            seat.wait_until_ready()
        return seats

    def _by_size(self, found: Findings, ours: Seat) -> None:
        for size, count in self._effort.sizes.items():
            for packed in (True, False):
                question = Question(measure="size", count=count, value=size, packed=packed)
                found.sizes.setdefault((size, packed), []).append(ours.ask(question))

    def _by_length(self, found: Findings, ours: Seat) -> None:
        for length in LENGTHS:
            question = Question(measure="length", count=self._effort.tokens_of_a_length // length, value=length)
            found.lengths.setdefault(length, []).append(ours.ask(question))

    def _by_budget(self, found: Findings, ours: Seat) -> None:
        for budget in self._effort.budgets:
            for packed in (True, False) if self._effort.padded_budgets else (True,):
                question = Question(measure="budget", count=self._effort.budget, value=budget, packed=packed)
                found.budgets.setdefault((budget, packed), []).append(ours.ask(question))

    def _beside_stages(self, found: Findings) -> None:
        """With one thread, which leaves the others a core: so that what is seen is not a want of cores."""
        with contextlib.ExitStack() as stack:
            wanted = (OURS, OUR_PROCESS)
            seats = self._seats([self._setup.model_copy(update={"way": way, "threads": 1}) for way in wanted], stack)
            for number in range(1, self._effort.rounds + 1):
                for way, seat in seats.items():
                    self._say(f"{way}, beside busy stages, round {number} of {self._effort.rounds}")
                    found.beside.setdefault(way, []).append(seat.ask(self._beside("beside")))

    def _beside(self, measure: str) -> Question:
        return Question.model_validate({"measure": measure, "count": self._effort.beside, "value": BESIDE_BATCH})
