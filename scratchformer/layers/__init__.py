"""Parameters wrapped around ops. A layer's backward adds to its parameters' gradients."""

from scratchformer.layers.attention_config import AttentionConfig
from scratchformer.layers.block import BlockConfig, TransformerBlock
from scratchformer.layers.cache import KeyValueCache
from scratchformer.layers.dropout import Dropout
from scratchformer.layers.embedding import Embedding
from scratchformer.layers.feed_forward import FeedForward
from scratchformer.layers.layer import Layer
from scratchformer.layers.linear import Linear, TiedLinear
from scratchformer.layers.multi_head_attention import MultiHeadAttention
from scratchformer.layers.normalization import LayerNorm, RMSNorm
from scratchformer.layers.parameter import Parameter
from scratchformer.layers.positions import RelativeBias, Rotary
from scratchformer.layers.residual import PostNorm, PreNorm
from scratchformer.layers.self_attention import SelfAttention
from scratchformer.layers.trace import NO_TRACE, Trace

__all__ = [
    "NO_TRACE",
    "AttentionConfig",
    "BlockConfig",
    "Dropout",
    "Embedding",
    "FeedForward",
    "KeyValueCache",
    "Layer",
    "LayerNorm",
    "Linear",
    "MultiHeadAttention",
    "Parameter",
    "PostNorm",
    "PreNorm",
    "RMSNorm",
    "RelativeBias",
    "Rotary",
    "SelfAttention",
    "TiedLinear",
    "Trace",
    "TransformerBlock",
]
