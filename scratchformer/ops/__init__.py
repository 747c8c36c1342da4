"""Pure functions with hand-derived gradients. Each returns its output and its backward."""

from scratchformer.ops.activations import gelu, relu, silu, tanh
from scratchformer.ops.attention import attention_weights, scaled_dot_product_attention
from scratchformer.ops.blockwise_attention import blockwise_attention
from scratchformer.ops.contract import Backward, op
from scratchformer.ops.cross_entropy import cross_entropy
from scratchformer.ops.dropout import dropout
from scratchformer.ops.embedding import embedding
from scratchformer.ops.frequencies import llama3_frequencies, yarn_frequencies, yarn_magnitude
from scratchformer.ops.linear import linear
from scratchformer.ops.linear_cross_entropy import linear_cross_entropy
from scratchformer.ops.masks import (
    causal_mask,
    combine_masks,
    packed_mask,
    padding_mask,
    sliding_window_mask,
)
from scratchformer.ops.mean_squared_error import mean_squared_error
from scratchformer.ops.normalization import layer_norm, rms_norm
from scratchformer.ops.pooling import mean_pooling
from scratchformer.ops.positions import alibi_bias, relative_buckets, sinusoidal_positions
from scratchformer.ops.rotary import rotary
from scratchformer.ops.softmax import log_softmax, softmax

__all__ = [
    "Backward",
    "alibi_bias",
    "attention_weights",
    "blockwise_attention",
    "causal_mask",
    "combine_masks",
    "cross_entropy",
    "dropout",
    "embedding",
    "gelu",
    "layer_norm",
    "linear",
    "linear_cross_entropy",
    "llama3_frequencies",
    "log_softmax",
    "mean_pooling",
    "mean_squared_error",
    "op",
    "packed_mask",
    "padding_mask",
    "relative_buckets",
    "relu",
    "rms_norm",
    "rotary",
    "scaled_dot_product_attention",
    "silu",
    "sinusoidal_positions",
    "sliding_window_mask",
    "softmax",
    "tanh",
    "yarn_frequencies",
    "yarn_magnitude",
]
