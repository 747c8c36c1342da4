"""Every layer and model, drawn with its inputs from a generator."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.catalogue.entry import layer_entry
from scratchformer.layers import (
    Dropout,
    Embedding,
    FeedForward,
    Layer,
    LayerNorm,
    Linear,
    MultiHeadAttention,
    Parameter,
    TiedLinear,
    TransformerBlock,
)
from scratchformer.layers.feed_forward import Activation
from scratchformer.models import GPT, GPTConfig

Drawn = tuple[Layer, Sequence[Any]]
Generator = np.random.Generator

KEY_BIAS = "a key bias adds the same to all of a query's scores, which softmax does not change with"


def normal(generator: Generator, *shape: int) -> ndarray:
    return generator.standard_normal(shape)


def sizes(generator: Generator, count: int) -> list[int]:
    return [int(size) for size in generator.integers(1, 5, count)]


def linear(generator: Generator) -> Drawn:
    batch, d_in, d_out = sizes(generator, 3)
    return Linear(d_in, d_out, generator=generator), [normal(generator, 2, batch, d_in)]


def tied_linear(generator: Generator) -> Drawn:
    batch, d, n = sizes(generator, 3)
    return TiedLinear(Parameter(normal(generator, n, d))), [normal(generator, batch, d)]


def embedding(generator: Generator) -> Drawn:
    n, d, length = sizes(generator, 3)
    return Embedding(n, d, generator=generator), [generator.integers(0, max(1, n // 2), (2, length))]


def layer_norm(generator: Generator) -> Drawn:
    batch, width = sizes(generator, 2)
    return LayerNorm(width), [normal(generator, batch, width)]


def dropout(generator: Generator) -> Drawn:
    return Dropout(0.4), [normal(generator, 3, 4)]


def drop_with_a_seed(layer: Dropout, x: ndarray) -> Any:
    return layer(x, np.random.default_rng(5))


def feed_forward(activation: Activation) -> Callable[[Generator], Drawn]:
    def draw(generator: Generator) -> Drawn:
        batch, d_model, d_hidden = sizes(generator, 3)
        layer = FeedForward(d_model, d_hidden, activation=activation, generator=generator)
        return layer, [normal(generator, batch, d_model)]

    return draw


def attention_layer(generator: Generator) -> tuple[MultiHeadAttention, int]:
    num_heads = int(generator.integers(1, 3))
    d_model = num_heads * int(generator.integers(1, 3))
    return MultiHeadAttention(d_model, num_heads, dropout=0.2, generator=generator), d_model


def self_attention(generator: Generator) -> Drawn:
    layer, d_model = attention_layer(generator)
    return layer, [normal(generator, 2, int(generator.integers(2, 5)), d_model)]


def cross_attention(generator: Generator) -> Drawn:
    layer, d_model = attention_layer(generator)
    t_query, t_key = (1 + size for size in sizes(generator, 2))
    mask = normal(generator, t_query, t_key)
    mask[generator.random(mask.shape) < 0.2] = -np.inf
    return layer, [normal(generator, 2, t_query, d_model), normal(generator, 2, t_key, d_model), mask]


def attend_causally(layer: Any, x: ndarray) -> Any:
    return layer(x, is_causal=True, generator=np.random.default_rng(5))


def block(generator: Generator) -> Drawn:
    layer = TransformerBlock(4, 2, 5, dropout=0.2, generator=generator)
    return layer, [normal(generator, 2, int(generator.integers(2, 4)), 4)]


def gpt(*, tied_head: bool) -> Callable[[Generator], Drawn]:
    def draw(generator: Generator) -> Drawn:
        config = GPTConfig(5, context_length=4, num_layers=1, num_heads=2, d_model=4, dropout=0.2, tied_head=tied_head)
        ids, targets = generator.integers(0, 5, (2, 2, 4))
        targets[0, 1] = -100
        return GPT(config, generator=generator), [ids, targets]

    return draw


def smoothed_loss(model: GPT, ids: ndarray, targets: ndarray) -> Any:
    return model.loss(ids, targets, label_smoothing=0.1, generator=np.random.default_rng(5))


def halves(prefix: str = "") -> dict[str, Any]:
    """The joint projection to keys and values is judged by halves, and of its bias the half of the keys is zero."""
    bias = f"{prefix}key_value.bias"
    return {"split": {bias: 2, f"{prefix}key_value.weight": 2}, "zero": {f"{bias}, part 1 of 2": KEY_BIAS}}


IN_BLOCK, IN_GPT = halves("attention."), halves("blocks.0.attention.")

LAYERS = [
    layer_entry("Linear", linear),
    layer_entry("TiedLinear", tied_linear),
    layer_entry("Embedding", embedding),
    layer_entry("LayerNorm", layer_norm),
    layer_entry("Dropout", dropout, call=drop_with_a_seed),
    *(
        layer_entry(f"FeedForward ({activation})", feed_forward(activation))
        for activation in ("gelu", "gelu_tanh", "relu", "silu")
    ),
    layer_entry("MultiHeadAttention", self_attention, call=attend_causally, **halves()),
    layer_entry("MultiHeadAttention (cross, mask)", cross_attention, **halves()),
    layer_entry("TransformerBlock", block, call=attend_causally, **IN_BLOCK),
]
MODELS = [
    layer_entry("GPT", gpt(tied_head=True), "models", call=smoothed_loss, **IN_GPT),
    layer_entry("GPT (untied head)", gpt(tied_head=False), "models", call=smoothed_loss, **IN_GPT),
]
