"""The status tree and its JSON."""

import json
import math

from worker.web.status import (
    ClusterCount,
    ClusterStatus,
    ModelStatus,
    PartitionStatus,
    Rates,
    StageStatus,
    Status,
    Totals,
)


def test_a_full_status_is_json_of_the_same_names() -> None:
    """Readers find every value under the name that the docstring documents."""
    status = Status(
        state="running",
        version="0.1.0",
        uptime_s=12.5,
        model=ModelStatus("minilm", "abc", "cpu", "float32"),
        partitions=(PartitionStatus("texts", 0, 10, 2, 0.5),),
        rates=Rates(100.0),
        totals=Totals(12, 10, {"not_utf8": 1}, {"ham": 9}, {"tagged": 9}),
        stages={"infer": StageStatus(0.5, 1.0, 0.9)},
        clusters=ClusterStatus("default", 3, 0.05, (ClusterCount(7, "tea, cup", 4),)),
    )
    read = json.loads(status.to_json())
    assert read["partitions"] == [
        {"topic": "texts", "partition": 0, "position": 10, "lag_records": 2, "lag_seconds": 0.5}
    ]
    assert read["totals"]["dead_letters"] == {"not_utf8": 1}
    assert read["stages"] == {"infer": {"p50_s": 0.5, "p99_s": 1.0, "busy_share": 0.9}}
    assert read["clusters"]["top"] == [{"id": 7, "name": "tea, cup", "count": 4}]
    assert read["model"]["device"] == "cpu"
    assert (read["state"], read["version"], read["uptime_s"], read["log_level"]) == ("running", "0.1.0", 12.5, "info")


def test_an_empty_status_has_nulls_and_empty_lists() -> None:
    """A worker that has only begun answers with the same names."""
    read = json.loads(Status(state="starting", version="0.1.0", uptime_s=0.0).to_json())
    assert read["model"] is None
    assert read["clusters"] is None
    assert read["partitions"] == []
    assert read["rates"] == {"records_per_s": 0.0}


def test_odd_labels_and_numbers_are_still_json() -> None:
    """Lone surrogates and line ends in labels are escaped; numbers that are not finite are null."""
    totals = Totals(by_label={"a\ud800\n\u2028": 1})
    answer = Status(state="running", version="0", uptime_s=math.inf, rates=Rates(math.nan), totals=totals).to_json()
    assert answer.isascii()
    assert json.loads(answer)["totals"]["by_label"] == {"a\ud800\n\u2028": 1}
    assert json.loads(answer)["rates"] == {"records_per_s": None}
