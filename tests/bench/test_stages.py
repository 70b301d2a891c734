"""The stages in one process, without Kafka."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.doubles import FakeEngine
from tests.model.tiny import config_of, write_classifier
from worker.bench.machine import describe_machine
from worker.bench.stages import by_batch_size, by_stage
from worker.bench.texts import load_texts
from worker.cli.bench import command
from worker.config import load

TEXTS = load_texts(None, 40)


def test_batch_sizes_up_to_the_number_of_texts() -> None:
    """A rate for each; sizes that the texts do not fill are left out."""
    rates = by_batch_size(FakeEngine(), TEXTS, enough_s=0.01)
    assert list(rates) == ["1", "8", "32"]
    assert min(rates.values()) > 0


@pytest.mark.parametrize("more", [[], ["input.format=text"], ["input.format=mail"], ["input.fields.text=a.b"]])
def test_every_stage_has_a_price_whatever_the_input_looks_like(more: list[str]) -> None:
    """Records are made as the settings say that they come, so that decoding them is what is measured."""
    engine = FakeEngine()
    found = by_stage(load(None, ["input.topics=[in]", *more], {}), engine, TEXTS)
    assert list(found) == ["decode", "tokenise", "forward", "route"]
    assert min(found.values()) > 0


def test_the_machine_is_described() -> None:
    """CPUs, threads and the versions that the figures depend on."""
    told = describe_machine(forward_threads=3)
    assert told["forward_threads"] == 3
    assert {"python", "tagstream", "torch", "kafka-python"} <= set(told["versions"])


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_measures_a_model_without_kafka(tmp_path: Path, as_json: bool) -> None:
    """One JSON object with the targets, none as nothing was compared; or lines for people."""
    folder = write_classifier(tmp_path / "model", config_of("bert"))
    call = ["--quick", "--set", f"model.path={folder}", *(["--json"] if as_json else [])]
    done = CliRunner().invoke(command, call, catch_exceptions=False)
    assert done.exit_code == 0
    if as_json:
        told = json.loads(done.stdout)
        assert told["targets"] == []
        assert set(told["figures"]) == {"bare engine, texts/s by batch size", "stages, us a text"}
    else:
        assert "stages, us a text" in done.stdout
