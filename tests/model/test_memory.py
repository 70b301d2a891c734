"""What a forward pass takes, as measured, against what was computed; and what there is to take."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedConfig

from tests.model.tiny import PACKED, PADDED, config_of
from worker.model.attention import register
from worker.model.lane import EMBEDDING, Lane, Reading, Step
from worker.model.memory import free_bytes, peak_bytes
from worker.model.network import Network
from worker.model.quantized import quantize_linear

SHAPES = {
    "usual": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256},
    "slim": {"hidden_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 128},
}
DISTIL = {"dim": 96, "n_layers": 2, "n_heads": 4, "hidden_dim": 384}
MIB = 2**20


def _lane(config: PreTrainedConfig, *, packed: bool, longest: int = 128) -> Lane:
    model = AutoModelForSequenceClassification.from_config(config).eval()
    readings = (Reading(EMBEDDING, "mean"), Reading("labels", "mean", stock=True))
    lane = Lane(
        steps=[Step(Network(model), readings)],
        tokens=0,
        longest=longest,
        pad=config.pad_token_id,
        first_position=config.pad_token_id + 1 if "roberta" in config.model_type else 0,
    )
    register()
    lane.use(packed=packed)
    return lane


def _rows(lengths: Sequence[int]) -> list[Any]:
    return [np.full(length, 7, np.int32) for length in sorted(lengths, reverse=True)]


def _measured(work: Callable[[], object], folder: Path) -> int:
    """The peak of what torch's allocator gives out, beside what it had given out before."""
    work()  # what is kept between passes is counted as taken, so that the first one gets nothing for free
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    profile.export_chrome_trace(str(folder / "trace.json"))
    events = json.loads((folder / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    steps = sorted(
        (e["ts"], e["args"]["Total Allocated"], e["args"]["Bytes"]) for e in events if e["name"] == "[memory]"
    )
    return max(total for _, total, _ in steps) - (steps[0][1] - steps[0][2])


@pytest.mark.parametrize("lengths", [[128] * 16, [128, 100, *[64] * 20], [128, *[3] * 7], [1] * 300], ids=str)
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("shape", [*SHAPES, "distil"])
def test_the_bound_holds_and_is_near(tmp_path: Path, shape: str, packed: bool, lengths: list[int]) -> None:
    """A pass takes no more than was computed, and at least half of it."""
    kind, sizes = ("distilbert", DISTIL) if shape == "distil" else ("bert", SHAPES[shape])
    lane = _lane(config_of(kind, positions=128, **sizes), packed=packed)
    tokens = sum(lengths) if packed else len(lengths) * max(lengths)
    measured, bound = _measured(lambda: lane(_rows(lengths)), tmp_path), peak_bytes([lane], tokens)
    assert measured <= bound <= 2 * measured


@pytest.mark.parametrize("kind", [*PACKED, *PADDED])
def test_the_bound_holds_for_every_family(tmp_path: Path, kind: str) -> None:
    """Also where attention holds matrices of tokens x tokens; it is less near there."""
    sizes = {} if kind in ("gpt2", "distilbert") else {"hidden_size": 64, "num_attention_heads": 4}
    lane = _lane(config_of(kind, positions=128, **sizes), packed=kind in PACKED)
    lengths = [128] * 6 + [90]
    tokens = sum(lengths) if lane.packed else len(lengths) * 128
    assert _measured(lambda: lane(_rows(lengths)), tmp_path) <= peak_bytes([lane], tokens)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_bound_holds_in_int8(tmp_path: Path, shape: str) -> None:
    """It is computed before the model is quantised; activations are scaled and rounded on the way."""
    lane = _lane(config_of("bert", positions=128, **SHAPES[shape]), packed=True)
    bound = peak_bytes([lane], 128 * 16)
    quantize_linear(lane.steps[0].network.model.base_model)
    assert _measured(lambda: lane(_rows([128] * 16)), tmp_path) <= bound


def test_several_networks_keep_their_states(tmp_path: Path) -> None:
    """The bound is that of the largest one, and what all of them keep."""
    small, large = (_lane(config_of("bert", positions=128, **sizes), packed=True) for sizes in SHAPES.values())

    def work() -> None:
        for lane in (small, large):
            lane(_rows([64] * 16))

    assert peak_bytes([large], 1024) < peak_bytes([small, large], 1024)
    assert _measured(work, tmp_path) <= peak_bytes([small, large], 1024)


def _written(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="ascii")
    return root


V1 = {"memory/memory.limit_in_bytes": f"{512 * MIB}\n", "memory/memory.usage_in_bytes": f"{400 * MIB}\n"}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        pytest.param({}, 900, id="no cgroups"),
        pytest.param({"memory.max": "max\n", "memory.current": f"{MIB}\n"}, 900, id="no limit"),
        pytest.param({"memory.max": f"{512 * MIB}\n", "memory.current": f"{400 * MIB}\n"}, 112, id="v2 container"),
        pytest.param(
            {
                "memory.max": f"{512 * MIB}\n",
                "memory.current": f"{500 * MIB}\n",
                "memory.stat": f"anon 9\ninactive_file {100 * MIB}\n",
            },
            112,
            id="file cache",
        ),
        pytest.param({"memory.max": f"{9 * MIB}\n", "memory.current": f"{10 * MIB}\n"}, 0, id="nothing left"),
        pytest.param({"a/memory.max": f"{300 * MIB}\n", "a/memory.current": f"{MIB}\n"}, 299, id="above the own group"),
        pytest.param({"memory.max": f"{9000 * MIB}\n", "memory.current": f"{MIB}\n"}, 900, id="more than the machine"),
        pytest.param(V1, 112, id="v1"),
        pytest.param(V1 | {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 900, id="v1 no limit"),
    ],
)
def test_free_memory_is_the_machines_or_the_containers(tmp_path: Path, files: dict[str, str], free: int) -> None:
    """The least of what the machine has and of what each limit on the way to the root leaves."""
    root = _written(tmp_path / "root", files)
    own = _written(tmp_path, {"own": "0::/a/b\n"}) / "own"
    meminfo = _written(tmp_path, {"meminfo": f"MemTotal: 1 kB\nMemAvailable:     {900 * 1024} kB\n"}) / "meminfo"
    assert free_bytes(root, own, meminfo) == free * MIB


def test_where_nothing_is_known_nothing_is_limited(tmp_path: Path) -> None:
    """Another system has no such files."""
    assert free_bytes(tmp_path / "root", tmp_path / "own", tmp_path / "meminfo") is None
