"""What is made of looking at a running pipeline."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from worker.bench.watch import Sample, Watch, growth, resident_bytes, steady, take
from worker.types import Partition


def _sample(at_s: float, records: int, resident: int | None = 100) -> Sample:
    return Sample(at_s, records, at_s, {}, resident)


def test_the_steady_part_leaves_out_the_warm_up() -> None:
    """It begins with the first sample at a tenth of the records, and never at zero."""
    samples = [_sample(0, 0), _sample(5, 50), _sample(6, 100), _sample(9, 1000)]
    assert [s.at_s for s in steady(samples)] == [6, 9]


@pytest.mark.parametrize("samples", [[], [_sample(0, 0)], [_sample(0, 0), _sample(1, 5)]])
def test_one_sample_gives_no_rate(samples: list[Sample]) -> None:
    """A run that was over before it was warm has no rate."""
    with pytest.raises(ValueError, match="too few"):
        steady(samples)


def test_growth_compares_the_last_quarter_with_the_second() -> None:
    """What is taken at the start, in the first quarter, does not count."""
    sizes = [10, 50, 100, 100, 105, 107, 110, 110]
    assert growth([_sample(i, i, size) for i, size in enumerate(sizes)]) == pytest.approx(0.1)


def test_growth_is_unknown_without_figures() -> None:
    """Systems that do not say how much memory is resident."""
    assert growth([_sample(i, i, None) for i in range(8)]) is None


def test_resident_memory_is_read_in_pages(tmp_path: Path) -> None:
    """The second number of statm; None where there is no such file."""
    (tmp_path / "statm").write_text("900 3 1 1 0 1 0\n")
    assert resident_bytes(tmp_path / "statm") == 3 * os.sysconf("SC_PAGE_SIZE")
    assert resident_bytes(tmp_path / "missing") is None


def test_a_sample_names_the_threads_by_what_they_have_computed() -> None:
    """This thread has CPU time of its own, and no more than the process."""
    sample = take(7)
    assert 0 < sample.threads_s[threading.current_thread().name] <= sample.cpu_s
    assert sample.records == 7


class _Pipeline:
    def __init__(self) -> None:
        self.committed = {Partition("in", 0): 3, Partition("in", 1): 4}


def test_watching_notes_what_was_committed_and_ends_with_the_run() -> None:
    """Offsets of all partitions are added up; the thread is gone afterwards."""
    with Watch(_Pipeline()) as watch:
        while not watch.samples:
            threading.Event().wait(0.001)
    assert watch.samples[0].records == 7
    assert "bench-watch" not in {thread.name for thread in threading.enumerate()}
