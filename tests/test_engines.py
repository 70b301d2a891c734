"""Settings to engines: what is loaded, what may replace it while running, and what is watched."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.doubles import FakeEngine
from tests.model.tiny import config_of, write_classifier
from worker.config import load
from worker.engines import load_model, make_shadow, recipe_of, reloadable, watch_folders, why_not
from worker.errors import SettingsError
from worker.metrics import Metrics
from worker.model.manifest import Manifest, Prepared
from worker.model.recipe import ClassifierRecipe, EngineRecipe, Windows, ZeroShotRecipe
from worker.settings import Settings
from worker.text.preparation import Preparation, recorded


def settings_of(*assignments: str) -> Settings:
    return load(None, assignments, {})


def test_the_settings_name_all_that_an_engine_is_made_of() -> None:
    """Classifiers in their order, the clusters' encoder, windows, zero-shot labels with one or more descriptions."""
    settings = settings_of(
        "model.path=/spam",
        "model.name=spam",
        "model.classifiers=[{name: topic, path: /topic, labels: {A: a}}]",
        "model.zero_shot=[{name: mood, labels: {good: fine, bad: [awful, poor]}}]",
        "clusters.encoder=/base",
        "text.long=windows",
        "text.window_pooling=max",
    )
    assert recipe_of(settings) == EngineRecipe(
        classifiers=(ClassifierRecipe("spam", "/spam"), ClassifierRecipe("topic", "/topic", {"A": "a"})),
        zero_shot=(ZeroShotRecipe("mood", {"good": ("fine",), "bad": ("awful", "poor")}),),
        encoder="/base",
        windows=Windows(32, "max"),
    )


def test_a_recipe_survives_the_way_to_another_process() -> None:
    """What the settings say is what the model's process gets."""
    recipe = recipe_of(settings_of("model.zero_shot=[{name: mood, labels: {good: fine, bad: awful}}]"))
    assert EngineRecipe.from_json(recipe.to_json()) == recipe


def test_without_clusters_no_encoder_is_loaded_for_them() -> None:
    """An encoder costs a pass; nobody would read what it gives."""
    assert recipe_of(settings_of("clusters.encoder=/base", "clusters.enabled=false")).encoder is None


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["model.classifiers=[{name: default, path: /x}]"], "two classifiers are called 'default'"),
        (["model.zero_shot=[{name: z, labels: {only: one}}]"], "at least two labels"),
        (["model.zero_shot=[{name: z, labels: {a: one, b: []}}]"], "label 'b' has an empty description"),
        (["model.zero_shot=[{name: z, labels: [a, b]}]"], "must map each label to its descriptions"),
        (["model.classifiers=[{name: a b, path: /x}]"], "model.classifiers.0.name"),
        (["model.shadow={path: /x, share: 0}"], "model.shadow.share"),
    ],
    ids=["same-name", "one-label", "no-description", "labels-as-list", "name-with-space", "no-share"],
)
def test_wrong_models_stop_the_start(assignments: list[str], message: str) -> None:
    """One line that names the place."""
    with pytest.raises(SettingsError, match=message):
        settings_of(*assignments)


def test_a_model_that_lacks_a_routed_label_does_not_replace_the_running_one() -> None:
    """Its messages would all go elsewhere."""
    settings = settings_of("policy.routes={spam: spam}")
    old, new = FakeEngine(labels=["spam", "ham"]), FakeEngine(labels=["junk", "ham"])
    assert "spam" in str(why_not(settings, old, new))
    assert why_not(settings, old, FakeEngine(labels=["spam", "ham", "new"])) is None


def test_a_model_with_another_encoder_does_not_replace_the_running_one() -> None:
    """The clusters' ids would change their meaning; without clusters it may."""
    old, new = FakeEngine(encoder="a"), FakeEngine(encoder="b")
    assert "clusters.encoder" in str(why_not(settings_of(), old, new))
    assert why_not(settings_of("clusters.enabled=false"), old, new) is None


def test_metrics_say_what_is_loaded() -> None:
    """Device, revision, and which layers are shared."""
    metrics = Metrics(CollectorRegistry())
    engine = reloadable(settings_of(), FakeEngine(), metrics)
    engine.close()
    series = {s.name: s.labels for family in metrics.registry.collect() for s in family.samples}
    assert series["tagstream_model_info"]["revision"] == "0"
    assert "tagstream_model_layers" in series


def test_only_directories_are_watched(tmp_path: Path) -> None:
    """A packaged model or a hub id cannot change under a running worker."""
    assert watch_folders(settings_of(), lambda: None) is None
    assert watch_folders(settings_of(f"model.path={tmp_path}", "model.watch_s=0"), lambda: None) is None
    watch = watch_folders(settings_of(f"model.path={tmp_path}"), lambda: None)
    assert watch is not None
    watch.close()


def test_without_a_setting_there_is_no_shadow() -> None:
    """Nothing is loaded for it."""
    assert make_shadow(settings_of(), FakeEngine().classifiers, Metrics(CollectorRegistry())) is None


def test_a_shadow_needs_labels_to_compare_with() -> None:
    """Refused at start, not at the first message."""
    with pytest.raises(SettingsError, match="nothing to be compared with"):
        make_shadow(settings_of("model.shadow={path: /x}"), (), Metrics(CollectorRegistry()))


def test_a_shadow_is_compared_with_the_primary_classifier(tmp_path: Path) -> None:
    """A trained model beside zero-shot labels: the natural case. What it is called in its folder does not matter."""
    config = config_of("bert", num_labels=2, id2label={0: "good", 1: "bad"}, label2id={"good": 0, "bad": 1})
    folder = write_classifier(tmp_path / "trained", config)
    running = FakeEngine(labels=["good", "bad"], name="mood")
    shadow = make_shadow(
        settings_of(f"model.shadow={{path: {folder}}}"), running.classifiers, Metrics(CollectorRegistry())
    )
    assert shadow is not None
    assert shadow.alive
    shadow.close()


def test_a_model_without_labels_does_not_replace_one_that_has_them() -> None:
    """Every label would silently be null."""
    assert "no labels" in str(why_not(settings_of(), FakeEngine(), FakeEngine(name="other")))


def test_a_model_reads_texts_as_it_was_trained_on_them(tmp_path: Path) -> None:
    """Another preparation in the settings than in the model's folder stops the start, with the settings to change."""
    manifest = Manifest(
        labels=("a", "b"),
        kind="single",
        head="linear",
        preparation=Prepared(**recorded(Preparation(lowercase=True))),
    )
    manifest.write(tmp_path)
    with pytest.raises(SettingsError, match=r"text\.lowercase"):
        load_model(settings_of(f"model.path={tmp_path}"))


def test_descriptions_of_labels_are_prepared_like_texts() -> None:
    """They are compared with texts that were."""
    recipe = recipe_of(settings_of("model.zero_shot=[{name: z, labels: {a: FINE, b: BAD}}]", "text.lowercase=true"))
    assert recipe.zero_shot[0].labels == {"a": ("fine",), "b": ("bad",)}
