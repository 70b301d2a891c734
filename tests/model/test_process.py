"""The engine in a process of its own: the same numbers, and what the worker hears when it fails."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from tests.children import ROOT, assert_gone, keep_asking, start_script, wait_for_end
from tests.model.tiny import change_json, config_of, texts_of, write_classifier, write_encoder
from worker import logs
from worker.engines import check
from worker.errors import SettingsError, Stop, TooSlow
from worker.metrics import Metrics
from worker.model.assembly import load_engine
from worker.model.process import EngineProcess
from worker.model.recipe import ClassifierRecipe, EngineRecipe, Windows, ZeroShotRecipe
from worker.reload import Reloadable
from worker.types import Predictions, Tokenized

TEXTS = ["", *texts_of(12, 90), "\ud800"]  # none, longer than the model's longest, and half a character


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> EngineRecipe:
    """Two models with tokenizers of their own, a zero-shot classifier, and windows."""
    folder = tmp_path_factory.mktemp("models")
    classifier = write_classifier(folder / "topic", config_of("bert", num_labels=3))
    encoder = write_encoder(folder / "encoder", config_of("roberta"), max_length=30)
    return EngineRecipe(
        classifiers=(ClassifierRecipe("topic", str(classifier), {"LABEL_0": "a", "LABEL_1": "ü", "LABEL_2": "c"}),),
        zero_shot=(ZeroShotRecipe("mood", {"good": ("w1 w2",), "bad": ("w3",)}),),
        encoder=str(encoder),
        windows=Windows(overlap=4),
        device="cpu",
        threads=1,
    )


@pytest.fixture(scope="module")
def engine(recipe: EngineRecipe) -> Iterator[EngineProcess]:
    with closing(EngineProcess(recipe, log_level="error")) as engine:
        yield engine


def test_it_is_the_engine(engine, recipe):
    """What it says of itself, the token ids and all numbers are those of the engine within the process."""
    local = load_engine(recipe)
    assert engine.offer == local.offer
    assert (engine.classifiers, engine.encoder) == (local.classifiers, local.encoder)
    assert (engine.place, engine.parts) == (local.place, local.parts)
    for texts in (TEXTS, TEXTS[:1], []):
        tokenized = engine.tokenize(texts)
        expected, found = local.infer(local.tokenize(texts)), engine.infer(tokenized)
        assert found.classifiers == expected.classifiers
        assert found.failed == expected.failed
        assert found.padding_share == expected.padding_share
        for one, other in zip((*found.scores, found.embeddings), (*expected.scores, expected.embeddings), strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert tokenized.ids == []


def test_forward_time_is_the_models_own(engine):
    """`forward_s` is measured where the pass runs, without the way there and back."""
    assert engine.infer(engine.tokenize(TEXTS)).forward_s > 0


def test_the_worker_needs_no_model_library():
    """Tokenising and talking to the child load neither torch nor transformers."""
    code = (
        "import sys, worker.model.process as p, worker.model.tokens as t\n"
        "from tokenizers import Tokenizer, models\n"
        "backend = Tokenizer(models.WordLevel({'a': 0, '?': 1}, unk_token='?')).to_str()\n"
        "t.merge([t.Tokens(t.TokensRecipe(backend, 8, 'right', '', False))(['a', 'b'])])\n"
        "print(*(m for m in ('torch', 'transformers', 'safetensors', 'huggingface_hub') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_refused_model_is_a_wrong_setting(tmp_path):
    """The line of the child's `SettingsError` is the worker's, and no process stays behind."""
    with pytest.raises(SettingsError) as caught:
        EngineProcess(EngineRecipe(encoder=str(tmp_path)))
    with pytest.raises(SettingsError) as expected:
        load_engine(EngineRecipe(encoder=str(tmp_path)))
    assert str(caught.value) == str(expected.value)


def test_what_fails_otherwise_names_its_place(tmp_path):
    """A model that breaks in an unforeseen way stops the worker with type and place, without the error's text."""
    folder = write_encoder(tmp_path / "encoder", config_of("bert"))
    change_json(folder / "config.json", max_position_embeddings="secret")
    with pytest.raises(Stop, match=r"^the model's process is gone: \w+Error in \w+, \w+\.py:\d+; ") as caught:
        EngineProcess(EngineRecipe(encoder=str(folder)), log_level="error")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "advice"),
    [(signal.SIGKILL, "lower model.max_batch_tokens"), (signal.SIGSEGV, "start the worker again")],
    ids=["killed", "crashed"],
)
def test_a_dead_child_stops_the_worker(recipe, number, advice):
    """Killed by the kernel, or crashed: one line says what, and what to do; close has nothing left to do."""
    engine = EngineProcess(recipe, log_level="error")
    with closing(engine):
        tokenized = engine.tokenize(TEXTS)
        os.kill(engine.pid, number)
        for _ in range(2):
            with pytest.raises(Stop, match=f"killed by {number.name}; .*{advice}"):
                engine.infer(tokenized)
    assert_gone(engine.pid)


def test_a_child_that_dies_while_idle_is_found(recipe):
    """Whoever looks after the worker hears it at once, with what to do; the stages would only at the next batch."""
    with closing(EngineProcess(recipe)) as engine:
        reloadable = Reloadable(
            engine=engine,
            make=lambda: engine,
            accept=lambda old, new: None,
            changed=lambda new: None,
            metrics=Metrics(CollectorRegistry()),
        )
        check(reloadable)
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(Stop, match=r"killed by SIGKILL; .*memory"):
            keep_asking(lambda: check(reloadable))
        reloadable.close()
        check(reloadable)


def test_a_child_that_dies_in_the_middle_of_a_pass(recipe):
    """Who waits for a pass is told; nobody waits for ever."""
    with closing(EngineProcess(recipe, log_level="error")) as engine:
        os.kill(engine.pid, signal.SIGSTOP)  # the request lies in the pipe, and is never answered
        killer = subprocess.Popen([sys.executable, "-c", f"import os; os.kill({engine.pid}, 9)"])
        with pytest.raises(Stop, match="SIGKILL"):
            engine.infer(engine.tokenize(TEXTS))
        killer.wait()


def test_a_pass_that_never_ends_is_ended(recipe):
    """Field report 1: with its process. The next one tells of several texts that they are too slow together, and of one
    alone that it has failed, and computes what comes after them."""
    with closing(EngineProcess(recipe, log_level="error")) as engine:
        several, alone = engine.tokenize(["w1", "w2"]), engine.tokenize(["w1", "\ud800"])
        with pytest.raises(TooSlow, match="2 texts"):
            _infer_in_a_frozen_child(engine, several)
        found = _infer_in_a_frozen_child(engine, alone)
        assert found.failed == {0: "forward pass: a pass took longer than 0.01 s over this text alone"}
        assert [len(scores) for scores in (*found.scores, found.embeddings)] == [2, 2, 2]
        assert not engine.infer(several).failed


def _infer_in_a_frozen_child(engine: EngineProcess, tokenized: Tokenized) -> Predictions:
    pid, engine._pass_limit_s = engine.pid, 0.01
    os.kill(pid, signal.SIGSTOP)
    try:
        return engine.infer(tokenized)
    finally:
        engine._pass_limit_s = None
        assert_gone(pid)


def test_a_pass_that_never_ends_and_another_model_in_its_place(tmp_path):
    """What was tokenised is not for a model that has been put there meanwhile: the worker has to start again."""
    folder = write_encoder(tmp_path / "encoder", config_of("bert"))
    with closing(
        EngineProcess(EngineRecipe(encoder=str(folder), device="cpu", threads=1), log_level="error")
    ) as engine:
        tokenized, engine._pass_limit_s = engine.tokenize(["w1", "w2"]), 0.01
        write_encoder(folder, config_of("bert"), seed=1)
        os.kill(engine.pid, signal.SIGSTOP)
        with pytest.raises(Stop, match="now holds another one"):
            engine.infer(tokenized)


def test_warnings_of_the_child_are_seen(tmp_path, capfd):
    """Its log lines go to the worker's stderr, in the worker's form and from the worker's level on."""
    folder = write_encoder(tmp_path / "encoder", config_of("bert"))
    recipe = EngineRecipe(encoder=str(folder), device="cpu", threads=1, max_batch_tokens=1)
    capfd.readouterr()
    EngineProcess(recipe, log_level="warning", log_format="json").close()
    (line,) = capfd.readouterr().err.splitlines()
    assert '"event": "batch_budget_raised"' in line
    assert '"level": "warning"' in line


@pytest.fixture
def _levels_as_before() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in (None, "worker", "tagstream", "kafka", *logs._CHATTY)}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("_levels_as_before")
def test_the_child_follows_the_level_that_an_operator_sets(tmp_path, capfd):
    """`POST /api/log-level`: with its next batch the model's process says as much as the worker does."""
    logs.set_level("error")
    folder = write_encoder(tmp_path / "encoder", config_of("bert"))
    recipe = EngineRecipe(encoder=str(folder), device="cpu", threads=1)
    capfd.readouterr()
    with closing(EngineProcess(recipe, log_format="json")) as engine:
        tokenized = engine.tokenize(["w1"])
        unknown = replace(tokenized, ids=[((np.array([10**6], np.int32),),)])  # it has no embedding
        assert engine.infer(unknown).failed
        assert capfd.readouterr().err == ""
        logs.set_level("warning")
        assert engine.infer(unknown).failed
        assert '"event": "forward_failed"' in capfd.readouterr().err
        logs.set_level("error")
        assert engine.infer(unknown).failed
        assert capfd.readouterr().err == ""


@pytest.mark.parametrize("end", ["exit", "kill", "interrupt"])
def test_the_worker_ends_while_the_model_loads(tmp_path, recipe, end):
    """At its exit, kill -9 or Ctrl-C: the child ends with it, and says nothing."""
    (tmp_path / "recipe.json").write_bytes(recipe.to_json())
    lines = f"""
import threading, multiprocessing, pathlib, time
from worker.errors import Stop
from worker.model.process import EngineProcess
from worker.model.recipe import EngineRecipe
recipe = EngineRecipe.from_json(pathlib.Path({str(tmp_path / "recipe.json")!r}).read_bytes())
def tell():
    while not multiprocessing.active_children(): time.sleep(0.001)
    print(multiprocessing.active_children()[0].pid, flush=True)
def load():
    try:
        EngineProcess(recipe, log_level='error')
    except Stop:
        pass
    except KeyboardInterrupt:
        print('interrupted', flush=True)
threading.Thread(target=load if {end == "exit"} else tell, daemon=True).start()
tell() if {end == "exit"} else load()
"""
    worker = start_script(tmp_path, lines)
    pid = int(worker.stdout.readline())
    if end == "kill":
        os.kill(worker.pid, signal.SIGKILL)
    elif end == "interrupt":
        os.killpg(worker.pid, signal.SIGINT)
    output, errors = worker.communicate(timeout=60)
    assert errors == ""
    assert output == {"exit": "", "kill": "", "interrupt": "interrupted\n"}[end]
    wait_for_end(pid)
