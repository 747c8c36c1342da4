"""Parameters wrapped around ops. A layer's backward adds to its parameters' gradients."""

from scratchformer.layers.block import TransformerBlock
from scratchformer.layers.dropout import Dropout
from scratchformer.layers.embedding import Embedding
from scratchformer.layers.feed_forward import FeedForward
from scratchformer.layers.layer import Layer
from scratchformer.layers.linear import Linear, TiedLinear
from scratchformer.layers.multi_head_attention import MultiHeadAttention
from scratchformer.layers.normalization import LayerNorm
from scratchformer.layers.parameter import Parameter
from scratchformer.layers.trace import Trace

__all__ = [
    "Dropout",
    "Embedding",
    "FeedForward",
    "Layer",
    "LayerNorm",
    "Linear",
    "MultiHeadAttention",
    "Parameter",
    "TiedLinear",
    "Trace",
    "TransformerBlock",
]
