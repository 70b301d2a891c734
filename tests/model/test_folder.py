"""Model directories: what is understood of them, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from tests.model.tiny import (
    change_json,
    config_of,
    manifest_of,
    write_classifier,
    write_encoder,
    write_json,
    write_sentence_files,
)
from worker.errors import SettingsError
from worker.model.folder import placeholder_labels, read_folder, rename_labels

SPAM = {"id2label": {0: "ham", 1: "spam"}, "label2id": {"ham": 0, "spam": 1}}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_classifier(root / "classifier", config_of("bert", **SPAM))
    write_encoder(root / "encoder", config_of("bert"))
    return root


@pytest.fixture
def classifier(originals: Path, tmp_path: Path) -> Path:
    return shutil.copytree(originals / "classifier", tmp_path / "classifier")


@pytest.fixture
def encoder(originals: Path, tmp_path: Path) -> Path:
    return shutil.copytree(originals / "encoder", tmp_path / "encoder")


def test_a_stock_classifier_is_understood(classifier: Path) -> None:
    """Labels come in the order of the logits; pooling is the mean; the position table limits the length."""
    folder = read_folder(str(classifier))
    assert (folder.head, folder.kind, folder.labels) == ("stock", "single", ("ham", "spam"))
    assert (folder.pooling, folder.prompt, folder.max_length) == ("mean", "", 62)
    assert folder.name == "classifier"


def test_labels_follow_the_number_of_their_logit(classifier: Path) -> None:
    """id2label's keys are text in JSON: 10 comes after 9, not after 1."""
    change_json(classifier / "config.json", id2label={str(i): f"l{i}" for i in reversed(range(12))})
    assert read_folder(str(classifier)).labels == tuple(f"l{i}" for i in range(12))


def test_an_encoder_without_a_head_has_no_labels(encoder: Path) -> None:
    """It gives embeddings only."""
    folder = read_folder(str(encoder))
    assert (folder.head, folder.labels) == (None, ())


def test_multi_label_classifiers_are_told_from_single_ones(classifier: Path) -> None:
    """`problem_type` decides."""
    change_json(classifier / "config.json", problem_type="multi_label_classification")
    assert read_folder(str(classifier)).kind == "multi"


def test_a_sentence_transformers_folder_is_read_as_it_is(encoder: Path) -> None:
    """Pooling, maximum length and the default prompt come from its own files."""
    prompts = {"prompts": {"query": "query: ", "other": "no"}, "default_prompt_name": "query"}
    write_sentence_files(encoder, pooling={"pooling_mode_cls_token": True}, prompts=prompts)
    folder = read_folder(str(encoder))
    assert (folder.pooling, folder.max_length, folder.prompt) == ("cls", 20, "query: ")


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        pytest.param({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean", id="mean"),
        pytest.param({"pooling_mode_lasttoken": True}, "last", id="last"),
        pytest.param({"pooling_mode": "cls"}, "cls", id="newer cls"),
        pytest.param({"pooling_mode": "lasttoken"}, "last", id="newer last"),
    ],
)
def test_pooling_modes(encoder: Path, config: dict[str, Any], pooling: str) -> None:
    """Both spellings of sentence-transformers are understood."""
    write_sentence_files(encoder, pooling=config)
    assert read_folder(str(encoder)).pooling == pooling


@pytest.mark.parametrize(("kind", "pooling"), [("gpt2", "last"), ("qwen3", "last"), ("bert", "mean")])
def test_pooling_where_a_folder_does_not_say(encoder: Path, kind: str, pooling: str) -> None:
    """A decoder's last token alone has seen the whole text."""
    change_json(encoder / "config.json", model_type=kind)
    assert read_folder(str(encoder)).pooling == pooling


def test_a_prompt_is_used_only_by_default(encoder: Path) -> None:
    """Prompts that sentence-transformers would not put before a text by itself are left out."""
    write_sentence_files(encoder, pooling={}, prompts={"prompts": {"query": "query: "}, "default_prompt_name": None})
    assert read_folder(str(encoder)).prompt == ""


@pytest.mark.parametrize(
    ("config", "tokenizer", "length"),
    [
        pytest.param({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 1e30, 512, id="514"),
        pytest.param(
            {"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512, 512, id="x"
        ),
        pytest.param({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 1e30, 512, id="bert"),
        pytest.param({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 128, 128, id="less"),
        pytest.param({"model_type": "bert", "max_position_embeddings": None}, 1e30, 512, id="no limit anywhere"),
    ],
)
def test_longest_text(encoder: Path, config: dict[str, Any], tokenizer: float, length: int) -> None:
    """The smallest limit counts, and RoBERTa's kind loses two of its 514 positions (field report 12)."""
    change_json(encoder / "config.json", **config)
    change_json(encoder / "tokenizer_config.json", model_max_length=tokenizer)
    assert read_folder(str(encoder)).max_length == length


@pytest.mark.parametrize(
    ("sentence", "tokenizer", "length"), [(40, 20, 40), (20, 40, 20), (100, 20, 62), (None, 20, 20)]
)
def test_sentence_transformers_maximum_counts(encoder: Path, sentence: int | None, tokenizer: int, length: int) -> None:
    """Before the tokenizer's, as there; but no text gets longer than the position table."""
    write_sentence_files(encoder, pooling={}, max_seq_length=sentence)  # type: ignore[arg-type]
    change_json(encoder / "tokenizer_config.json", model_max_length=tokenizer)
    assert read_folder(str(encoder)).max_length == length


def _lora(folder: Path) -> None:
    write_json(folder / "adapter_config.json", {})


def _onnx_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.onnx")


def _onnx_folder(folder: Path) -> None:
    (folder / "onnx").mkdir()
    (folder / "model.safetensors").rename(folder / "onnx" / "model.onnx")
    (folder / "config.json").unlink()


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _pickled_torch(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.pt")


def _pickled_setfit(folder: Path) -> None:
    (folder / "model_head.pkl").touch()


def _own_tokenizer_code(folder: Path) -> None:
    change_json(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["mine.Tokenizer", None]})


def _own_module_code(folder: Path) -> None:
    write_json(folder / "modules.json", [{"path": "", "type": "custom_st.Transformer"}])


def _encoder_decoder(folder: Path) -> None:
    change_json(folder / "config.json", is_encoder_decoder=True)


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _own_code(folder: Path) -> None:
    change_json(folder / "config.json", auto_map={"AutoModel": "mine.Model"})


def _regression(folder: Path) -> None:
    change_json(folder / "config.json", problem_type="regression")


def _one_label(folder: Path) -> None:
    change_json(folder / "config.json", id2label={"0": "LABEL_0"})


def _same_labels(folder: Path) -> None:
    change_json(folder / "config.json", id2label={"0": "x", "1": "x"})


def _nothing(folder: Path) -> None:
    (folder / "config.json").unlink()


def _not_json(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")


def _dense(folder: Path) -> None:
    write_json(folder / "modules.json", [{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}])


def _two_poolings(folder: Path) -> None:
    write_sentence_files(folder, pooling={"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True})


def _head_without_weights(folder: Path) -> None:
    write_json(folder / "tagstream.json", manifest_of(["a", "b"]))


def _newer_head(folder: Path) -> None:
    write_json(folder / "tagstream.json", manifest_of(["a", "b"], format=3))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_lora, "LoRA adapter; merge it into its base model"),
        (_onnx_only, "ONNX model only, which is not run; name the transformers model"),
        (_onnx_folder, "ONNX model only, which is not run; name the transformers model"),
        (_pickled, "pickled weights only, which are never read; save it as safetensors"),
        (_pickled_torch, "pickled weights only, which are never read; save it as safetensors"),
        (_pickled_setfit, "pickled SetFit head; train one"),
        (_no_weights, "no weights .* take a model that has them"),
        (_no_tokenizer, "no tokenizer; save the model's tokenizer"),
        (_own_code, "auto_map, trust_remote_code.* choose a model"),
        (_own_tokenizer_code, "auto_map, trust_remote_code.* choose a model"),
        (_own_module_code, "custom_st.* choose another model"),
        (_encoder_decoder, "encoder-decoder, .* choose an encoder"),
        (_regression, "regression"),
        (_one_label, "regression"),
        (_same_labels, "same name"),
        (_nothing, "no model"),
        (_not_json, "not JSON"),
        (_dense, "Dense"),
        (_two_poolings, "cls\\+mean"),
        (_head_without_weights, "head.safetensors"),
        (_newer_head, "not of format 2"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(classifier: Path, spoil: Any, reason: str) -> None:
    """One line says what is wrong, and what to do."""
    spoil(classifier)
    with pytest.raises(SettingsError, match=reason) as refused:
        read_folder(str(classifier))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", ["/no/such/place", "./nothing-here", "no-such-owner/no-such-model", "a/b/c"])
def test_a_model_that_is_nowhere_is_refused_without_the_network(path: str) -> None:
    """Neither a directory nor in the hub's cache: nothing is asked of the hub unless the settings allow it."""
    with pytest.raises(SettingsError, match="no such directory"):
        read_folder(path)


RESPONSE: Any = SimpleNamespace(headers={}, request=None)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        pytest.param(
            GatedRepoError("restricted\nmore", response=RESPONSE),
            "is gated: accept its terms on its page and set HF_TOKEN or log in",
            id="gated",
        ),
        pytest.param(
            RepositoryNotFoundError("404\nmore", response=RESPONSE), "check the id and the network", id="unknown"
        ),
        pytest.param(OSError("disk\nfull"), "check the id and the network", id="disk"),
    ],
)
def test_a_model_that_the_hub_does_not_give_is_refused(
    monkeypatch: pytest.MonkeyPatch, error: Exception, advice: str
) -> None:
    """One line says what to do; nothing of the hub's own many."""

    def refuse(*_: Any, **options: Any) -> None:
        assert not options["local_files_only"]
        assert all("bin" not in pattern and "py" not in pattern for pattern in options["allow_patterns"])
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(SettingsError, match=advice) as refused:
        read_folder("owner/model", allow_download=True)
    assert "\n" not in str(refused.value)


def test_the_revision_follows_every_byte(classifier: Path, originals: Path) -> None:
    """Copies have the same revision; a changed config or weight gives another; the readme does not count."""
    before = read_folder(str(classifier)).revision
    (classifier / "README.md").write_text("words", encoding="utf-8")
    assert read_folder(str(classifier)).revision == before == read_folder(str(originals / "classifier")).revision
    with (classifier / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, 2)
        weights.write(b"\x55")
    changed = read_folder(str(classifier)).revision
    change_json(classifier / "config.json", id2label={"0": "no", "1": "yes"})
    assert len({before, changed, read_folder(str(classifier)).revision}) == 3


def test_placeholder_labels_are_found() -> None:
    """LABEL_0 is nobody's name for anything."""
    assert placeholder_labels(("LABEL_0", "spam", "LABEL_x", "LABEL_12")) == ("LABEL_0", "LABEL_12")


def test_labels_are_renamed_and_wrong_names_refused() -> None:
    """`model.labels` may name some labels; it must not name others, nor make two of them one."""
    labels = ("LABEL_0", "LABEL_1")
    assert rename_labels(labels, {"LABEL_1": "spam"}) == ("LABEL_0", "spam")
    with pytest.raises(SettingsError, match="LABEL_2"):
        rename_labels(labels, {"LABEL_2": "spam"})
    with pytest.raises(SettingsError, match="same name"):
        rename_labels(labels, {"LABEL_0": "spam", "LABEL_1": "spam"})
