"""Tiny models whose parameters are large enough for attention to matter, and what they were asked."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.models import GPT, GPTConfig, Llama, LlamaConfig, Transformer, TransformerConfig
from tests.gradients import with_random_values

VOCABULARY = 7
CONTEXT = 6
MODELS = ("learned", "sinusoidal", "rotary", "alibi", "relative", "llama", "transformer")


@cache
def tiny(name: str) -> Any:
    """One of `MODELS`: a GPT with such positions, a Llama with grouped heads, or a Transformer."""
    generator, sizes = np.random.default_rng(0), {"vocabulary_size": VOCABULARY, "num_layers": 2, "d_model": 8}
    if name == "transformer":
        made: Any = Transformer(TransformerConfig(**sizes, num_heads=2, d_hidden=12), generator=generator)
    elif name == "llama":
        made = Llama(
            LlamaConfig(**sizes, num_heads=4, num_kv_heads=2, d_hidden=12, context_length=CONTEXT), generator=generator
        )
    else:
        config: Any = {"positions": name, "num_heads": 2, "context_length": CONTEXT}
        made = GPT(GPTConfig(**sizes, **config), generator=generator)
    return with_random_values(made, 5)


class Spy:
    """A model that remembers the shapes of the ids it was given, the options, and the last logits of each call."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.shapes: list[tuple[int, ...]] = []
        self.options: list[dict[str, Any]] = []
        self.logits: list[ndarray] = []

    def __call__(self, ids: ndarray, **options: Any) -> tuple[ndarray, Any]:
        logits, backward = self.model(ids, **options)
        self.shapes.append(ids.shape)
        self.options.append(options)
        self.logits.append(logits[..., -1, :])
        return logits, backward


@dataclass
class Case:
    """A model, and for a Transformer what each of a batch of prompts is the translation of."""

    name: str
    seed: int
    rows: int

    def cached(self, row: int | None = None) -> dict[str, Any]:
        """Model and options for decoding with a cache: all rows, or one alone as a batch of one."""
        model = tiny(self.name)
        if self.name != "transformer":
            return {"model": Spy(model)}
        source, lengths = self._source(row)
        return {"model": Spy(model.decode), "cache": model.new_cache(source, lengths, capacity=CONTEXT)}

    def uncached(self, row: int | None = None) -> dict[str, Any]:
        model = tiny(self.name)
        if self.name != "transformer":
            return {"model": Spy(model), "use_cache": False}
        source, lengths = self._source(row)

        def decode(ids: ndarray, **options: Any) -> tuple[ndarray, Any]:
            memory = np.broadcast_to(kept.memory, (len(ids), *kept.memory.shape[1:]))
            return model.decode(ids, memory, kept.memory_mask, **options)

        kept = model.new_cache(source, lengths, capacity=1)
        return {"model": Spy(decode), "use_cache": False}

    def prompts(self, lengths: list[int]) -> list[ndarray]:
        generator = np.random.default_rng([self.seed, 1])
        return [generator.integers(0, VOCABULARY, length) for length in lengths]

    def _source(self, row: int | None) -> tuple[ndarray, ndarray]:
        generator = np.random.default_rng([self.seed, 2])
        source, lengths = generator.integers(0, VOCABULARY, (self.rows, 5)), generator.integers(1, 6, self.rows)
        rows = slice(None) if row is None else slice(row, row + 1)
        return source[rows], lengths[rows]
