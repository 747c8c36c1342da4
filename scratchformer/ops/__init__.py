"""Pure functions with hand-derived gradients. Each returns its output and its backward."""

from scratchformer.ops.activations import gelu, relu, silu
from scratchformer.ops.attention import attention_weights, scaled_dot_product_attention
from scratchformer.ops.contract import Backward
from scratchformer.ops.cross_entropy import cross_entropy
from scratchformer.ops.dropout import dropout
from scratchformer.ops.embedding import embedding
from scratchformer.ops.linear import linear
from scratchformer.ops.mean_squared_error import mean_squared_error
from scratchformer.ops.normalization import layer_norm
from scratchformer.ops.softmax import log_softmax, softmax

__all__ = [
    "Backward",
    "attention_weights",
    "cross_entropy",
    "dropout",
    "embedding",
    "gelu",
    "layer_norm",
    "linear",
    "log_softmax",
    "mean_squared_error",
    "relu",
    "scaled_dot_product_attention",
    "silu",
    "softmax",
]
