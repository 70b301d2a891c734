"""What a trained directory says of itself, and what of it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.model.tiny import (
    change_json,
    change_weights,
    config_of,
    manifest_of,
    write_classifier,
    write_encoder,
    write_json,
    write_linear,
)
from worker.errors import SettingsError
from worker.model.folder import checksums, read_folder
from worker.model.manifest import Manifest, read_manifest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_linear(tmp_path / "model", write_encoder(tmp_path / "encoder", config_of("bert")), labels=("a", "b"))


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Thresholds, labels of any script, and fields without a value."""
    manifest = Manifest(
        labels=("böse", "良い"), kind="multi", head="linear", thresholds={"良い": 0.75}, temperature=1.5
    )
    manifest.write(tmp_path)
    assert read_manifest(tmp_path) == manifest
    assert "良い" in (tmp_path / "tagstream.json").read_text(encoding="utf-8")


def test_a_folder_without_one_is_anybodys(tmp_path: Path) -> None:
    """A stock model from elsewhere has none."""
    assert read_manifest(tmp_path) is None
    assert read_folder(str(write_classifier(tmp_path / "stock", config_of("bert", num_labels=3)))).manifest is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 1}, "not of format 2; train the model again"),
        ({"format": 3}, "not of format 2; train the model again"),
        ({"labels": []}, "labels: .* at least 1"),
        ({"labels": ["a", "a"]}, "two labels have the same name"),
        ({"kind": "many"}, "kind: .* 'single' or 'multi'"),
        ({"temperature": 0}, "temperature: .* greater than 0"),
        ({"thresholds": {"c": 0.5}}, "thresholds name 'c', which is no label"),
        ({"thresholds": {"a": 1.5}}, r"thresholds\.a: .* less than or equal to 1"),
        ({"head": "stock", "features": "embedding+characters"}, "a stock head cannot read"),
        ({"threshold": {"a": 0.5}}, "threshold: .* not permitted"),
        ({"checksums": {"model.safetensors": "0" * 64}}, "is not the one that tagstream.json was written for"),
        ({"checksums": {"gone.json": "0" * 64}}, "lacks gone.json"),
    ],
)
def test_what_does_not_fit_is_refused(model: Path, changes: dict[str, Any], reason: str) -> None:
    """One line says what, and what to do."""
    change_json(model / "tagstream.json", **changes)
    with pytest.raises(SettingsError, match=reason) as refused:
        read_folder(str(model))
    assert "\n" not in str(refused.value)


def test_half_a_file_is_refused(model: Path) -> None:
    """As is one that nobody may read."""
    (model / "tagstream.json").write_text('{"format": 2', encoding="utf-8")
    with pytest.raises(SettingsError, match="not JSON; the model is not whole"):
        read_folder(str(model))


def test_damaged_weights_are_found_before_they_are_loaded(model: Path) -> None:
    """By their checksum; the thresholds may be edited."""
    files = [file for file in read_folder(str(model)).files if file != "tagstream.json"]
    change_json(model / "tagstream.json", checksums=checksums(model, files))
    before = read_folder(str(model)).revision
    change_json(model / "tagstream.json", thresholds={"a": 0.9})
    assert read_folder(str(model)).revision != before
    change_weights(model, lambda weights: next(iter(weights.values())).add_(1))
    with pytest.raises(SettingsError, match=r"model\.safetensors is not the one"):
        read_folder(str(model))


def test_a_trained_classifier_keeps_its_stock_head(tmp_path: Path) -> None:
    """Its labels are those of config.json; if the two disagree, one of them is wrong."""
    labels = {"id2label": {0: "a", 1: "b"}, "num_labels": 2}
    folder = write_classifier(tmp_path / "stock", config_of("bert", **labels))
    write_json(folder / "tagstream.json", manifest_of(["a", "b"], head="stock", thresholds={"b": 0.8}))
    read = read_folder(str(folder))
    assert (read.head, read.labels) == ("stock", ("a", "b"))
    assert read.manifest is not None
    assert read.manifest.thresholds == {"b": 0.8}
    assert read.without_head().manifest is None
    change_json(folder / "tagstream.json", labels=["b", "a"], thresholds={})
    with pytest.raises(SettingsError, match="name different labels"):
        read_folder(str(folder))


def test_a_stock_head_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Instead of a model that gives no labels."""
    folder = write_encoder(tmp_path / "encoder", config_of("bert"))
    write_json(folder / "tagstream.json", manifest_of(["a", "b"], head="stock"))
    with pytest.raises(SettingsError, match="a classifier, which is not there"):
        read_folder(str(folder))
