"""Answers the questions that are asked of a process that measures."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig

from benchmarks.engine_ways.beside import OtherStages
from benchmarks.engine_ways.models import BASE
from benchmarks.engine_ways.questions import Figure, Question, Setup
from benchmarks.engine_ways.ways import BATCH, PADDED_TOKENS, OurEngine, lay_out, make_way, set_budget
from worker import logs
from worker.bench.roofline import Roofline, Shape, pass_flops
from worker.bench.texts import load_texts
from worker.model.folder import read_folder
from worker.model.loading import load_tokens
from worker.model.threads import cpu_threads
from worker.model.tokens import Tokens
from worker.types import Tokenized

LIMIT_S = 0.2  # the bare products run so long before, and again after, what is measured
PRECISION = {"cpu": "float32", "cuda": "bfloat16"}


class Measuring:
    """One way, loaded and warm."""

    def __init__(self, setup: Setup) -> None:
        logs.configure("error", "console")
        self._setup = setup
        torch.set_num_threads(setup.threads or cpu_threads())
        base = setup.models / BASE
        config = AutoConfig.from_pretrained(base)
        self._shape = Shape.of(config)
        self._vocabulary = int(config.vocab_size)
        self._limit = Roofline(
            self._shape, device=setup.device, dtype="float32" if setup.device == "cpu" else "bfloat16"
        )
        self._texts = load_texts(setup.folder, setup.texts)
        self._tokens = Tokens(load_tokens(read_folder(str(base)), None)[0])
        self._way = make_way(setup)
        self._stages = OtherStages(self._texts, base)
        self._way(self._texts[:BATCH])  # the first pass of a process allocates

    def answer(self, question: Question) -> Figure:
        measures: dict[str, Callable[[Question], Figure]] = {
            "way": self._by_way,
            "size": self._by_size,
            "length": self._by_length,
            "budget": self._by_budget,
            "overlap": self._overlapped,
            "beside": self._beside_stages,
        }
        return measures[question.measure](question)

    def _by_way(self, question: Question) -> Figure:
        """From texts to numbers."""
        texts = self._texts[: question.count]
        return self._figure(self._tokens(texts).lengths, lambda: self._way(texts))

    def _by_size(self, question: Question) -> Figure:
        """The pass alone, in batches of so many texts, packed or padded."""
        with self._laid_out(question.packed, PADDED_TOKENS if self._padded_small(question) else None):
            return self._passes(self._batches(question.count, question.value))

    def _padded_small(self, question: Question) -> bool:
        """On a CPU padding wants a smaller budget than packing; a card has one that both fill."""
        return not question.packed and self._setup.device == "cpu"

    def _by_length(self, question: Question) -> Figure:
        """The pass alone, over texts of so many tokens each."""
        ids = np.random.default_rng(0).integers(1, self._vocabulary, (question.count, question.value), np.int32)
        lengths, ones = np.full(len(ids), question.value, np.int32), np.ones(len(ids), np.int32)
        whole = Tokenized([((row,),) for row in ids], lengths, ones, np.zeros(len(ids), np.bool_))
        return self._passes([whole])

    def _by_budget(self, question: Question) -> Figure:
        """The pass alone over all texts at once, under a budget of so many tokens, packed or padded."""
        with self._laid_out(question.packed, question.value):
            return self._passes(self._batches(question.count, question.count))

    @contextlib.contextmanager
    def _laid_out(self, packed: bool, budget: int | None) -> Iterator[None]:
        """The engine packed or padded, under another budget; as it was in the end."""
        before = set_budget(self._engine, budget) if budget else None
        lay_out(self._engine, packed=packed)
        try:
            yield
        finally:
            lay_out(self._engine, packed=True)
            if before is not None:
                set_budget(self._engine, before)

    def _overlapped(self, question: Question) -> Figure:
        """The pass alone in batches of so many texts; beside it, the same while another thread tokenises the next."""
        batches = self._batches(question.count, question.value)
        figure = self._passes(batches)
        texts = [self._texts[i : i + question.value] for i in range(0, question.count, question.value)]
        began = time.perf_counter()
        thread = threading.Thread(target=lambda: [self._engine.tokenize(each) for each in texts])
        thread.start()
        self._infer(batches)
        thread.join()
        return figure.model_copy(update={"beside_s": time.perf_counter() - began})

    def _beside_stages(self, question: Question) -> Figure:
        """The pass alone in batches of so many texts; beside it, the same while the other stages never rest."""
        batches = self._batches(question.count, question.value)
        figure = self._passes(batches)
        with self._stages.busy(self._engine):
            began = time.perf_counter()
            self._infer(batches)
            beside_s = time.perf_counter() - began
        return figure.model_copy(update={"beside_s": beside_s})

    @property
    def _engine(self) -> OurEngine:
        assert isinstance(self._way, OurEngine), "asked of a way that is not ours"
        return self._way.engine

    def _batches(self, count: int, size: int) -> list[Tokenized]:
        return [self._engine.tokenize(self._texts[i : i + size]) for i in range(0, count, size)]

    def _passes(self, batches: Sequence[Tokenized]) -> Figure:
        return self._figure(np.concatenate([batch.lengths for batch in batches]), lambda: self._infer(batches))

    def _infer(self, batches: Sequence[Tokenized]) -> None:
        for batch in batches:
            self._engine.infer(batch)

    def _figure(self, lengths: NDArray[np.int32], work: Callable[[], object]) -> Figure:
        """What work on texts of so many tokens took, and the machine's limit before and after."""
        before = self._limit.flops_per_s(LIMIT_S)
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        after = self._limit.flops_per_s(LIMIT_S)
        return Figure(
            seconds=seconds,
            texts=len(lengths),
            tokens=int(lengths.sum()),
            flops=pass_flops(self._shape, lengths.tolist()),
            limit_flops_per_s=(before + after) / 2,
        )
