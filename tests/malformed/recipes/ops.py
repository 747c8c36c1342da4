"""Valid calls of what `scratchformer.ops` has."""

from typing import Any

import numpy as np

from scratchformer import ops
from tests.malformed.recipes.call import Call, Recipe, generator, ids, new, normal


def attention_arguments() -> dict[str, Any]:
    masks = {"mask": np.tri(3, 4, dtype=bool), "is_causal": True, "scale": 0.5}
    return {"query": normal(2, 3, 4), "key": normal(2, 4, 4), **masks}


def with_values() -> dict[str, Any]:
    return {**attention_arguments(), "value": normal(2, 4, 5), "dropout": 0.1, "generator": generator()}


FREQUENCIES = {"d": 4, "base": 100.0, "factor": 2.0, "original_context": 8}
OPS: dict[str, Recipe] = {
    "ops.softmax": lambda: Call(ops.softmax, {"x": normal(2, 3)}),
    "ops.log_softmax": lambda: Call(ops.log_softmax, {"x": normal(2, 3)}),
    "ops.relu": lambda: Call(ops.relu, {"x": normal(2, 3)}),
    "ops.silu": lambda: Call(ops.silu, {"x": normal(2, 3)}),
    "ops.tanh": lambda: Call(ops.tanh, {"x": normal(2, 3)}),
    "ops.gelu": lambda: Call(ops.gelu, {"x": normal(2, 3), "approximate": "tanh"}),
    "ops.linear": lambda: Call(ops.linear, {"x": normal(2, 3, 4), "weight": normal(4, 5), "bias": normal(5)}),
    "ops.embedding": lambda: Call(ops.embedding, {"ids": ids(2, 3), "table": normal(5, 4)}),
    "ops.layer_norm": lambda: Call(
        ops.layer_norm, {"x": normal(2, 4), "weight": normal(4), "bias": normal(4), "eps": 1e-5}
    ),
    "ops.rms_norm": lambda: Call(ops.rms_norm, {"x": normal(2, 4), "weight": normal(4), "eps": 1e-5}),
    "ops.dropout": lambda: Call(ops.dropout, {"x": normal(2, 4), "p": 0.5, "generator": generator()}),
    "ops.cross_entropy": lambda: Call(
        ops.cross_entropy,
        {"logits": normal(2, 3, 5), "targets": ids(2, 3), "ignore_index": -100, "label_smoothing": 0.1},
    ),
    "ops.linear_cross_entropy": lambda: Call(
        ops.linear_cross_entropy,
        {"x": normal(2, 3, 4), "weight": normal(4, 5), "targets": ids(2, 3), "bias": normal(5)}
        | {"ignore_index": -100, "label_smoothing": 0.1, "classes_at_once": 2},
    ),
    "ops.mean_squared_error": lambda: Call(
        ops.mean_squared_error, {"prediction": normal(2, 3), "target": normal(2, 3)}
    ),
    "ops.attention_weights": lambda: Call(ops.attention_weights, attention_arguments()),
    "ops.scaled_dot_product_attention": lambda: Call(ops.scaled_dot_product_attention, with_values()),
    "ops.blockwise_attention": lambda: Call(ops.blockwise_attention, with_values()),
    "ops.rotary": lambda: Call(
        ops.rotary, {"x": normal(2, 3, 4), "positions": np.arange(3), "base": 100.0, "scaling": 1.0, "layout": "halves"}
    ),
    "ops.causal_mask": lambda: Call(ops.causal_mask, {"t_query": 3, "t_key": 4}),
    "ops.sliding_window_mask": lambda: Call(ops.sliding_window_mask, {"t_query": 3, "t_key": 4, "window": 2}),
    "ops.padding_mask": lambda: Call(ops.padding_mask, {"lengths": ids(3), "t": 5}),
    "ops.packed_mask": lambda: Call(ops.packed_mask, {"documents": ids(2, 3)}),
    "ops.combine_masks": lambda: Call(ops.combine_masks, {"*masks": [np.tri(3, dtype=bool), normal(3, 3)]}),
    "ops.sinusoidal_positions": lambda: Call(
        ops.sinusoidal_positions, {"positions": np.arange(3), "d_model": 4, "base": 100.0, "dtype": np.float64}
    ),
    "ops.alibi_bias": lambda: Call(ops.alibi_bias, {"num_heads": 2, "t_query": 3, "t_key": 3, "dtype": np.float64}),
    "ops.relative_buckets": lambda: Call(
        ops.relative_buckets,
        {"t_query": 3, "t_key": 3, "num_buckets": 8, "max_distance": 16, "bidirectional": True},
    ),
    "ops.llama3_frequencies": new(
        ops, "llama3_frequencies", low_frequency_factor=1.0, high_frequency_factor=4.0, **FREQUENCIES
    ),
    "ops.yarn_frequencies": new(ops, "yarn_frequencies", fast_turns=32.0, slow_turns=1.0, truncate=True, **FREQUENCIES),
    "ops.yarn_magnitude": new(ops, "yarn_magnitude", factor=2.0),
    "ops.mean_pooling": new(ops, "mean_pooling", x=lambda: normal(2, 3, 4), lengths=lambda: np.array([3, 2])),
}
"""Each also tries a malformed gradient, where it returns a backward."""
