"""Long texts: cut off and marked, or read in windows that overlap and are pooled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from tests.model import stock
from tests.model.stock import CLOSE, load, predict, unit
from tests.model.tiny import (
    SPECIAL,
    WORDS,
    config_of,
    texts_of,
    tokenizer_of,
    write_classifier,
    write_encoder,
    write_sentence_files,
    write_tuned,
)
from worker.model.folder import Pooling
from worker.model.recipe import WindowPooling, Windows
from worker.model.tokens import Tokens, TokensRecipe
from worker.types import Tokenized

LONGEST = 20
PROMPT = ("w0", "w1")
FIRST, LAST = 2, 3  # [CLS] and [SEP]


def tokens(*, overlap: int | None = 4, side: str = "right", prompt: str = "", longest: int = LONGEST) -> Tokens:
    backend = tokenizer_of(None).backend_tokenizer.to_str()
    return Tokens(TokensRecipe(backend, longest, side, prompt, lowercase=False, overlap=overlap))


def ids(words: Sequence[str]) -> list[int]:
    return [len(SPECIAL) + WORDS.index(word) for word in words]


def windows_of(tokenized: Tokenized, text: int = 0) -> list[list[int]]:
    return [window.tolist() for window in tokenized.ids[text]]


def stepped(words: Sequence[str], *, room: int, overlap: int, prompt: Sequence[str] = ()) -> list[list[int]]:
    """The definition: so many words a window, each window beginning `overlap` words before the last one's end."""
    windows, start = [], 0
    while True:
        windows.append([FIRST, *ids(prompt), *ids(words[start : start + room]), LAST])
        if start + room >= len(words):
            return windows
        start += room - overlap


@settings(deadline=None)
@given(count=st.integers(0, 60), overlap=st.integers(0, 9), prompted=st.booleans(), longest=st.integers(8, 30))
def test_windows_cover_a_text_and_overlap(count: int, overlap: int, prompted: bool, longest: int) -> None:
    """Special tokens and the prompt are in each; the overlap is as asked, up to half of a window."""
    prompt = PROMPT if prompted else ()
    read = tokens(overlap=overlap, prompt="".join(f"{word} " for word in prompt), longest=longest)
    tokenized = read([" ".join(WORDS[:count])])
    room = longest - 2 - len(prompt)
    expected = stepped(WORDS[:count], room=room, overlap=min(overlap, room // 2), prompt=prompt)
    assert windows_of(tokenized) == expected
    assert tokenized.windows.tolist() == [len(expected)]
    assert tokenized.lengths.tolist() == [sum(map(len, expected))]
    assert not tokenized.truncated.any()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("prompt", ["", "w0 w1 "])
def test_a_text_that_just_fits_is_one_window(prompt: str, side: str) -> None:
    """As it would be without windows; one word more makes two of it, on whichever side texts would be cut."""
    words = WORDS[2 : LONGEST - (2 if prompt else 0)]
    texts = [" ".join(words), " ".join([*words, "w59"])]
    tokenized, cut = tokens(prompt=prompt, side=side)(texts), tokens(prompt=prompt, side=side, overlap=None)(texts)
    assert tokenized.windows.tolist() == [1, 2]
    assert windows_of(tokenized) == windows_of(cut) == [[FIRST, *ids((*prompt.split(), *words)), LAST]]
    assert cut.truncated.tolist() == [False, True]
    assert windows_of(tokenized, 1)[0] == windows_of(tokenized)[0]


@pytest.mark.parametrize(("side", "kept"), [("right", WORDS[:18]), ("left", WORDS[42:])])
def test_texts_are_cut_on_the_tokenizers_side(tmp_path: Path, side: str, kept: list[str]) -> None:
    """Some models want the end of a text; what is left is what transformers' own tokenizer leaves."""
    folder = write_encoder(tmp_path / "encoder", config_of("bert", positions=LONGEST))
    tokenizer_of(LONGEST, side).save_pretrained(folder)
    tokenized = load(folder).tokenize([" ".join(WORDS)])
    (window,) = tokenized.ids[0][0]
    assert window.tolist() == [FIRST, *ids(kept), LAST]
    assert window.tolist() == tokenizer_of(LONGEST, side)(" ".join(WORDS), truncation=True)["input_ids"]
    assert (tokenized.truncated.tolist(), tokenized.windows.tolist()) == ([True], [1])


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "xlm-roberta", "mpnet", "gpt2"])
def test_texts_are_cut_at_the_models_length_and_marked(tmp_path: Path, kind: str) -> None:
    """A text of exactly the limit is whole; one token more is cut, and says so (field report 12)."""
    tokenized = load(write_encoder(tmp_path / kind, config_of(kind))).tokenize(
        [" ".join(WORDS), " ".join([*WORDS, "w0"])]
    )
    assert tokenized.lengths.tolist() == [62, 62]
    assert tokenized.truncated.tolist() == [False, True]
    assert tokenized.windows.tolist() == [1, 1]
    assert tokenized.ids[1][0][0][-1] == tokenized.ids[0][0][0][-1] == LAST, "the closing token stays"


def test_a_prompt_may_be_longer_than_a_window(tmp_path: Path) -> None:
    """Half of the window is the text's: a prompt never leaves it without."""
    read = tokens(prompt=" ".join(WORDS[:30]) + " ", overlap=2)
    windows = windows_of(read(["w58 w59"]))
    assert all(len(window) <= LONGEST for window in windows)
    assert windows[-1][1:10] == ids(WORDS[:9])
    assert windows[-1][-3:] == [*ids(["w58", "w59"]), LAST]


@pytest.mark.parametrize("template", ["$A", "$A [SEP]"])
def test_tokenizers_that_open_with_no_special_token(template: str) -> None:
    """GPT-2's kind: windows begin with the text, or the prompt; where nothing is left of a text, that is its error."""
    backend = tokenizer_of(None).backend_tokenizer
    backend.post_processor = TemplateProcessing(single=template, special_tokens=[("[SEP]", LAST)])
    read = Tokens(TokensRecipe(backend.to_str(), LONGEST, "right", "w0 ", lowercase=False, overlap=0))
    tail = [LAST] if "SEP" in template else []
    room = LONGEST - 1 - len(tail)
    first, second = WORDS[1 : 1 + room], WORDS[1 + room : 30]
    expected = [[*ids(["w0", *part]), *tail] for part in (first, second)]
    assert windows_of(read([" ".join(WORDS[1:30])])) == expected
    read = Tokens(TokensRecipe(backend.to_str(), LONGEST, "right", "", lowercase=False))
    assert read(["", "w1"]).errors == ({} if tail else {0: "tokenizer: no tokens"})


def test_lower_case_is_for_the_prompt_too() -> None:
    """As sentence-transformers does it."""
    backend = tokenizer_of(None).backend_tokenizer.to_str()
    read = Tokens(TokensRecipe(backend, LONGEST, "right", "W0 ", lowercase=True))
    assert windows_of(read(["W1 w2"])) == [[FIRST, *ids(["w0", "w1", "w2"]), LAST]]


@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_windows_are_pooled_to_their_text(tmp_path: Path, kind: str, pooling: WindowPooling) -> None:
    """Logits by their mean or maximum; the embedding is the mean weighted by tokens, of unit length again."""
    folder = write_classifier(tmp_path / kind, config_of(kind, num_labels=3), max_length=LONGEST)
    texts = [*texts_of(6, 60), "w1", *texts_of(6, 18, seed=1)]
    engine = load(folder, windows=Windows(overlap=4, pooling=pooling))
    found, cut = predict(engine, texts), predict(load(folder), texts)
    for i, text in enumerate(texts):
        rows = stepped(text.split(), room=18, overlap=4)
        logits, sizes = stock.logits(folder, rows), np.array([len(row) for row in rows], np.float32)
        pooled = logits.mean(dim=0) if pooling == "mean" else logits.amax(dim=0)
        np.testing.assert_allclose(found.scores[0][i], torch.softmax(pooled, dim=-1).numpy(), **CLOSE)
        each = stock.embeddings(folder, rows, "last" if kind == "gpt2" else "mean")
        embedding = unit((each * sizes[:, None]).sum(axis=0, keepdims=True))[0]
        np.testing.assert_allclose(found.embeddings[i], embedding, **CLOSE)
        if len(rows) == 1:
            np.testing.assert_allclose(found.scores[0][i], cut.scores[0][i], **CLOSE)
    assert not np.allclose(found.scores[0], cut.scores[0], atol=1e-3)


def test_several_tokenizers_cut_their_own_windows(tmp_path: Path) -> None:
    """A classifier of 20 tokens and an encoder of 62: each reads the text in windows of its own length."""
    encoder = write_encoder(tmp_path / "encoder", config_of("bert"))
    spam = write_tuned(tmp_path / "spam", encoder)
    tokenizer_of(LONGEST).save_pretrained(spam)
    texts = [" ".join(WORDS), "w1 \ud800", "w3"]
    engine = load(spam, encoder=encoder, windows=Windows(overlap=4))
    tokenized = engine.tokenize(texts)
    assert [[len(windows) for windows in ids] if ids else None for ids in tokenized.ids] == [[1, 4], None, [1, 1]]
    assert list(tokenized.errors) == [1]
    found = engine.infer(tokenized)
    rows = stepped(WORDS, room=18, overlap=4)
    expected = torch.softmax(stock.logits(spam, rows).mean(dim=0), dim=-1).numpy()
    np.testing.assert_allclose(found.scores[0][0], expected, **CLOSE)
    np.testing.assert_allclose(found.embeddings[[0, 2]], stock.embeddings(encoder, stock.ids_of(texts[::2])), **CLOSE)


def test_sentence_transformers_files_set_the_length(tmp_path: Path) -> None:
    """Theirs counts, where the tokenizer and the position table would allow more."""
    folder = write_encoder(tmp_path / "encoder", config_of("bert"))
    write_sentence_files(folder, pooling={"pooling_mode_mean_tokens": True}, max_seq_length=LONGEST)
    texts = texts_of(10, 60)
    engine = load(folder)
    assert engine.classifiers == ()
    assert engine.tokenize([" ".join(WORDS)]).lengths.tolist() == [LONGEST]
    expected = stock.embeddings(folder, stock.ids_of(texts, max_length=LONGEST))
    np.testing.assert_allclose(predict(engine, texts).embeddings, expected, **CLOSE)


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
@pytest.mark.parametrize("overlap", [None, 4], ids=["cut", "windows"])
def test_prompts_go_before_each_text(tmp_path: Path, pooling: Pooling, overlap: int | None) -> None:
    """And before each window of it; the prompt counts as tokens of the text."""
    folder = write_encoder(tmp_path / "encoder", config_of("bert"))
    prompts = {"prompts": {"query": "w0 w1 "}, "default_prompt_name": "query"}
    write_sentence_files(folder, pooling=stock.POOLING_FILES[pooling], prompts=prompts, max_seq_length=LONGEST)
    found = predict(load(folder, windows=Windows(overlap=overlap)), [" ".join(WORDS[:30]), "w7"]).embeddings
    rows = stepped(WORDS[:30], room=16, overlap=4, prompt=PROMPT)[: None if overlap else 1]
    sizes = np.array([[len(row)] for row in rows], np.float32)
    long = unit((stock.embeddings(folder, rows, pooling) * sizes).sum(axis=0, keepdims=True))
    short = stock.embeddings(folder, [[FIRST, *ids([*PROMPT, "w7"]), LAST]], pooling)
    np.testing.assert_allclose(found, np.vstack([long, short]), **CLOSE)


def test_odd_texts_are_only_texts(tmp_path: Path) -> None:
    """Nothing, NUL bytes and a hundred thousand combining characters are tokenised like any other."""
    folder = write_encoder(tmp_path / "bert", config_of("bert"))
    for overlap in (None, 4):
        tokenized = load(folder, windows=Windows(overlap=overlap)).tokenize(["", "\0\0", "a" + "\u0301" * 100_000, " "])
        assert not tokenized.errors
        assert tokenized.windows.tolist() == [1, 1, 1, 1]
