"""Valid calls of what `scratchformer.layers` has."""

from typing import Any

import numpy as np

from scratchformer import layers
from tests.malformed.recipes.call import DRAWN, TRACED, Recipe, called, generator, ids, method, new, normal, single


def attention_config(**options: Any) -> layers.AttentionConfig:
    return layers.AttentionConfig(4, 2, **options)


def block_config(**options: Any) -> layers.BlockConfig:
    return layers.BlockConfig(4, 2, 5, **options)


def linear(d_in: int = 4, d_out: int = 3) -> layers.Linear:
    return layers.Linear(d_in, d_out, generator=generator())


X = {"x": lambda: single(2, 3, 4)}
SMOOTHED = {"ignore_index": -100, "label_smoothing": 0.1}


def small_layer() -> Any:
    layer = layers.FeedForward(4, 5, generator=generator())
    layer.pack()
    return layer


def cache() -> layers.KeyValueCache:
    return layers.KeyValueCache(8).within("a")


def filled_cache() -> layers.KeyValueCache:
    filled = layers.KeyValueCache(8, single(2, 3, 4), np.ones((2, 1, 1, 3), bool))
    filled.extend(single(2, 1, 3, 4), single(2, 1, 3, 4))
    return filled


LAYERS: dict[str, Recipe] = {
    "layers.AttentionConfig": new(
        layers,
        "AttentionConfig",
        d_model=4,
        num_heads=2,
        num_kv_heads=1,
        d_key=2,
        d_value=2,
        d_memory=4,
        bias=True,
        dropout=0.1,
        rotary=layers.Rotary(),
        method="auto",
    ),
    "layers.BlockConfig": new(
        layers,
        "BlockConfig",
        d_model=4,
        num_heads=2,
        d_hidden=5,
        norm_first=True,
        norm="rms",
        eps=1e-5,
        activation="gelu",
        cross_attention=False,
        d_memory=4,
        num_kv_heads=1,
        rotary=layers.Rotary(),
        method="auto",
        dropout=0.1,
        bias=True,
    ),
    "layers.Rotary": new(layers, "Rotary", base=100.0, scaling=1.0, layout="halves"),
    "layers.Rotary.__call__": called(layers.Rotary, x=lambda: single(2, 3, 4), positions=lambda: np.arange(3)),
    "layers.Dropout": new(layers, "Dropout", p=0.1),
    "layers.Dropout.__call__": called(lambda: layers.Dropout(0.1), generator=lambda: generator(), **X),
    "layers.Embedding": new(layers, "Embedding", n=3, d=4, **DRAWN),
    "layers.Embedding.__call__": called(lambda: layers.Embedding(5, 4, generator=generator()), ids=lambda: ids(2, 3)),
    "layers.FeedForward": new(layers, "FeedForward", d_model=4, d_hidden=5, activation="swiglu", bias=True, **DRAWN),
    "layers.FeedForward.__call__": called(small_layer, trace=lambda: layers.Trace(), **X),
    "layers.KeyValueCache": new(
        layers,
        "KeyValueCache",
        capacity=8,
        memory=lambda: single(2, 3, 4),
        memory_mask=lambda: np.ones((2, 1, 1, 3), bool),
    ),
    "layers.KeyValueCache.within": method(cache, "within", name="a"),
    "layers.KeyValueCache.extend": method(
        cache, "extend", key=lambda: single(2, 1, 3, 4), value=lambda: single(2, 1, 3, 4)
    ),
    "layers.KeyValueCache.select": method(filled_cache, "select", rows=lambda: np.array([1, 0])),
    "layers.KeyValueCache.across": method(cache, "across", project=lambda x=None: (x, x)),
    "layers.Layer.pack": method(lambda: layers.FeedForward(4, 5, generator=generator()), "pack", dtype=np.float64),
    "layers.Layer.astype": method(small_layer, "astype", dtype=np.float64),
    "layers.Layer.views_by_name": method(small_layer, "views_by_name", vector=lambda: small_layer().values.copy()),
    "layers.Layer.use": method(
        small_layer, "use", values=lambda: small_layer().values.copy(), grads=lambda: small_layer().grads.copy()
    ),
    "layers.LayerNorm": new(layers, "LayerNorm", width=4, bias=True, eps=1e-5, dtype=np.float32),
    "layers.LayerNorm.__call__": called(lambda: layers.LayerNorm(4), **X),
    "layers.RMSNorm": new(layers, "RMSNorm", width=4, eps=1e-5, dtype=np.float32),
    "layers.RMSNorm.__call__": called(lambda: layers.RMSNorm(4), **X),
    "layers.Linear": new(layers, "Linear", d_in=4, d_out=3, bias=True, **DRAWN),
    "layers.Linear.__call__": called(linear, **X),
    "layers.Linear.cross_entropy": method(linear, "cross_entropy", targets=lambda: ids(2, 3, most=3), **X, **SMOOTHED),
    "layers.TiedLinear.cross_entropy": method(
        lambda: layers.TiedLinear(layers.Parameter(single(5, 4))),
        "cross_entropy",
        targets=lambda: ids(2, 3),
        **X,
        **SMOOTHED,
    ),
    "layers.TiedLinear": new(layers, "TiedLinear", table=lambda: layers.Parameter(single(5, 4))),
    "layers.TiedLinear.__call__": called(lambda: layers.TiedLinear(layers.Parameter(single(5, 4))), **X),
    "layers.MultiHeadAttention": new(layers, "MultiHeadAttention", config=attention_config(), **DRAWN),
    "layers.MultiHeadAttention.__call__": called(
        lambda: layers.MultiHeadAttention(attention_config(dropout=0.1), generator=generator()),
        memory=lambda: single(2, 5, 4),
        mask=lambda: np.ones((3, 5), bool),
        is_causal=True,
        positions=lambda: np.arange(3),
        cache=None,
        **X,
        **TRACED,
    ),
    "layers.MultiHeadAttention.__call__ with a cache": called(
        lambda: layers.MultiHeadAttention(attention_config(rotary=layers.Rotary()), generator=generator()),
        mask=lambda: np.ones((3, 3), bool),
        is_causal=True,
        positions=lambda: np.arange(3),
        cache=lambda: cache(),
        **X,
    ),
    "layers.Parameter": new(layers, "Parameter", value=lambda: single(3)),
    "layers.PostNorm": new(layers, "PostNorm", name="a", norm=layers.LayerNorm(4), dropout=0.1),
    "layers.PreNorm": new(layers, "PreNorm", name="a", norm=layers.LayerNorm(4), dropout=0.1),
    "layers.PreNorm.__call__": called(
        lambda: layers.PreNorm("a", layers.LayerNorm(4), 0.1), branch=lambda: linear(4, 4), **X, **TRACED
    ),
    "layers.PostNorm.__call__": called(
        lambda: layers.PostNorm("a", layers.LayerNorm(4), 0.1), branch=lambda: linear(4, 4), **X, **TRACED
    ),
    "layers.RelativeBias": new(
        layers, "RelativeBias", num_heads=2, num_buckets=8, max_distance=16, bidirectional=True, **DRAWN
    ),
    "layers.RelativeBias.__call__": called(lambda: layers.RelativeBias(2, generator=generator()), t_query=3, t_key=4),
    "layers.SelfAttention": new(layers, "SelfAttention", d_model=4, d_key=3, d_value=3, bias=True, **DRAWN),
    "layers.SelfAttention.__call__": called(
        lambda: layers.SelfAttention(4, 3, 3, generator=generator()),
        mask=lambda: np.ones((3, 3), bool),
        is_causal=True,
        **X,
    ),
    "layers.Trace": new(layers, "Trace", **{"*patterns": ["*.weights", "a"]}),
    "layers.Trace.within": method(layers.Trace, "within", name="a"),
    "layers.Trace.wants": method(layers.Trace, "wants", name="a"),
    "layers.Trace.keep": method(layers.Trace, "keep", name="a", array=lambda: normal(3)),
    "layers.Trace.record": method(layers.Trace, "record", hidden=lambda: normal(3)),
    "layers.Trace.__getitem__": method(layers.Trace, "__getitem__", name="a"),
    "layers.TransformerBlock": new(layers, "TransformerBlock", config=block_config(), **DRAWN),
    "layers.TransformerBlock.__call__": called(
        lambda: layers.TransformerBlock(block_config(cross_attention=True, dropout=0.1), generator=generator()),
        mask=lambda: np.ones((3, 3), bool),
        memory=lambda: single(2, 5, 4),
        memory_mask=lambda: np.ones((3, 5), bool),
        is_causal=True,
        positions=lambda: np.arange(3),
        cache=None,
        **X,
        **TRACED,
    ),
    "layers.KeyValueCache.truncate": method(filled_cache, "truncate", length=1),
}
