"""Every layer, drawn with its inputs from a generator."""

from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
from numpy import ndarray

from scratchformer.catalogue.entry import layer_entry
from scratchformer.layers import (
    AttentionConfig,
    BlockConfig,
    Dropout,
    Embedding,
    FeedForward,
    Layer,
    LayerNorm,
    Linear,
    MultiHeadAttention,
    Parameter,
    PostNorm,
    PreNorm,
    RelativeBias,
    RMSNorm,
    Rotary,
    SelfAttention,
    TiedLinear,
    TransformerBlock,
)
from scratchformer.layers.feed_forward import Activation
from scratchformer.ops import tanh

Drawn = tuple[Layer, Sequence[Any]]
Generator = np.random.Generator

KEY_BIAS = "a key bias adds one number to all scores of a query, which leaves softmax unchanged"


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
    return MultiHeadAttention(AttentionConfig(d_model, num_heads, dropout=0.2), generator=generator), d_model


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


def grouped_attention(generator: Generator) -> Drawn:
    """Blockwise attention with grouped heads, rotary positions, and widths of keys and values that differ."""
    num_kv_heads = int(generator.integers(1, 3))
    layer = MultiHeadAttention(
        AttentionConfig(
            3,
            2 * num_kv_heads,
            num_kv_heads=num_kv_heads,
            d_key=2,
            d_value=3,
            dropout=0.2,
            rotary=Rotary(base=10.0),
            method="blockwise",
        ),
        generator=generator,
    )
    return layer, [normal(generator, 2, int(generator.integers(2, 5)), 3)]


def normed_attention(generator: Generator) -> Drawn:
    """Grouped heads with normed queries and keys, a scale of their own, a window and no bias at the output."""
    layer = MultiHeadAttention(
        AttentionConfig(
            4,
            2,
            num_kv_heads=1,
            output_bias=False,
            rotary=Rotary(frequencies=(0.7,), magnitude=1.2),
            qk_norm=True,
            qk_norm_eps=0.1,
            scale=0.8,
            window=2,
        ),
        generator=generator,
    )
    return layer, [normal(generator, 2, int(generator.integers(3, 6)), 4)]


def single_head(generator: Generator) -> Drawn:
    d_model, d_key, d_value = sizes(generator, 3)
    return SelfAttention(d_model, d_key, d_value, generator=generator), [normal(generator, 2, 3, d_model)]


def rms_norm(generator: Generator) -> Drawn:
    batch, width = sizes(generator, 2)
    return RMSNorm(width), [normal(generator, batch, width)]


def relative_bias(generator: Generator) -> Drawn:
    return RelativeBias(2, num_buckets=4, max_distance=6, generator=generator), []


def bias_of_seven_and_five(layer: Any) -> Any:
    return layer(5, 7)


def beside_the_stream(residual: type[PreNorm] | type[PostNorm]) -> Callable[[Generator], Drawn]:
    def draw(generator: Generator) -> Drawn:
        batch, width = sizes(generator, 2)
        return residual("branch", LayerNorm(width + 2), 0.2), [normal(generator, batch, width + 2)]

    return draw


def around_tanh(layer: Any, x: ndarray) -> Any:
    return layer(x, tanh, generator=np.random.default_rng(5))


def block(**options: Any) -> Callable[[Generator], Drawn]:
    def draw(generator: Generator) -> Drawn:
        layer = TransformerBlock(BlockConfig(4, 2, 5, dropout=0.2, **options), generator=generator)
        return layer, [normal(generator, 2, int(generator.integers(2, 4)), 4)]

    return draw


def decoder_block(*, norm_first: bool) -> Callable[[Generator], Drawn]:
    def draw(generator: Generator) -> Drawn:
        options: dict[str, Any] = {"norm_first": norm_first, "cross_attention": True, "d_memory": 3}
        layer = TransformerBlock(BlockConfig(4, 2, 5, dropout=0.2, **options), generator=generator)
        mask = generator.random((2, 1, 1, 4)) < 0.8
        mask[..., 0] = True
        return layer, [normal(generator, 2, 3, 4), None, normal(generator, 2, 4, 3), mask]

    return draw


def attend_causally_and_across(layer: Any, x: ndarray, mask: None, memory: ndarray, memory_mask: ndarray) -> Any:
    return layer(x, mask, memory, memory_mask, is_causal=True, generator=np.random.default_rng(5))


def halves(*prefixes: str) -> dict[str, Any]:
    """Splits joint projections into the halves of keys and values. The keys' half of a bias has a gradient of zero."""
    names = [f"{prefix}key_value" for prefix in prefixes]
    split = {f"{name}.{tensor}": 2 for name in names for tensor in ("weight", "bias")}
    return {"split": split, "zero": {f"{name}.bias, part 1 of 2": KEY_BIAS for name in names}}


LAYERS = [
    layer_entry("Linear", linear),
    layer_entry("TiedLinear", tied_linear),
    layer_entry("Embedding", embedding),
    layer_entry("LayerNorm", layer_norm),
    layer_entry("RMSNorm", rms_norm),
    layer_entry("RelativeBias", relative_bias, call=bias_of_seven_and_five),
    layer_entry("Dropout", dropout, call=drop_with_a_seed),
    *(layer_entry(f"FeedForward ({activation})", feed_forward(activation)) for activation in get_args(Activation)),
    layer_entry("SelfAttention", single_head, zero={"key.bias": KEY_BIAS}),
    layer_entry("MultiHeadAttention", self_attention, call=attend_causally, **halves("")),
    layer_entry("MultiHeadAttention (cross, mask)", cross_attention, **halves("")),
    layer_entry("MultiHeadAttention (grouped, rotary)", grouped_attention, call=attend_causally),
    layer_entry("MultiHeadAttention (normed, window)", normed_attention, call=attend_causally),
    layer_entry("PreNorm", beside_the_stream(PreNorm), call=around_tanh),
    layer_entry("PostNorm", beside_the_stream(PostNorm), call=around_tanh),
    layer_entry("TransformerBlock", block(), call=attend_causally, **halves("attention.")),
    layer_entry("TransformerBlock (post-norm)", block(norm_first=False), call=attend_causally, **halves("attention.")),
    layer_entry(
        "TransformerBlock (RMS, SwiGLU, rotary)",
        block(norm="rms", activation="swiglu", num_kv_heads=1, rotary=Rotary(base=10.0), bias=False),
        call=attend_causally,
    ),
    layer_entry(
        "TransformerBlock (normed, window)",
        block(
            norm="rms",
            activation="geglu_tanh",
            num_kv_heads=1,
            d_head=6,
            bias=False,
            attention_bias=True,
            attention_output_bias=False,
            qk_norm=True,
            window=2,
        ),
        call=attend_causally,
    ),
    *(
        layer_entry(
            f"TransformerBlock (decoder, {norm}-norm)",
            decoder_block(norm_first=norm == "pre"),
            call=attend_causally_and_across,
            **halves("attention.", "cross_attention."),
        )
        for norm in ("pre", "post")
    ),
]
