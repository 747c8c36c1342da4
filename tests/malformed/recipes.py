"""A valid call of every public callable: what a malformed call differs from."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any, NamedTuple

import numpy as np

from scratchformer import (
    catalogue,
    derivations,
    generation,
    gradcheck,
    layers,
    models,
    ops,
    optim,
    plots,
    runs,
    text,
    training,
)
from scratchformer.analysis import alignment, attention_patterns, norms, score_scale


class Call(NamedTuple):
    """A callable with valid arguments by name, and errors that it documents besides those of malformed arguments."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    also: tuple[type[BaseException], ...] = ()


Recipe = Callable[[], Call]

UNTRIED = {
    "ops.op": "takes the source of an op, not data",
    "optim.Optimizer": "abstract; tried as its subclasses",
    "runs.ReferenceRun.of_json": "reads what a file holds; its caller names the file",
    "runs.Range.check": "names an option as it is typed on a command line",
    "generation.GenerationSettings.from_json": "reads what a file holds, and names the key of the file",
    "generation.stream_text": "takes what `generate` yields, one token after the other",
    "analysis.of_weights": "a decorator of measures, which are tried",
    "runs.run_script": "ends the process; takes the main function of a program",
}


def write_files() -> None:
    """Writes the files that recipes read into the working folder."""
    Path("text.txt").write_text("abc")
    training.save("model.safetensors", gpt())
    options = runs.options_of(Options())
    made = runs.begin_run(Options(out=RUN), "a", {"options": options, "corpus": {"sha256": "0"}})
    made.write_text(
        "metrics.csv", "step,training_loss,validation_loss,gradient_norm,learning_rate\n1,1.0,1.0,1.0,0.1\n"
    )
    made.write_text("norms.csv", "step,quantity,layer,norm\n1,gradient,blocks.0,1.0\n")
    made.close()


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def normal(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    return generator().standard_normal(shape).astype(dtype)


def single(*shape: int) -> np.ndarray:
    return normal(*shape, dtype=np.float32)


def ids(*shape: int, most: int = 4) -> np.ndarray:
    return generator().integers(1, most, shape)


def weights(*shape: int) -> np.ndarray:
    return ops.softmax(normal(*shape))[0]


def attention_arguments() -> dict[str, Any]:
    masks = {"mask": np.tri(3, 4, dtype=bool), "is_causal": True, "scale": 0.5}
    return {"query": normal(2, 3, 4), "key": normal(2, 4, 4), **masks}


def with_values() -> dict[str, Any]:
    return {**attention_arguments(), "value": normal(2, 4, 5), "dropout": 0.1, "generator": generator()}


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
}
"""Each also tries a malformed gradient, where it returns a backward."""


def made_anew(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with what functions without arguments make in the place of those functions."""
    return {key: value() if is_maker(value) else value for key, value in arguments.items()}


def is_maker(value: Any) -> bool:
    return isinstance(value, FunctionType) and value.__name__ == "<lambda>" and value.__code__.co_argcount == 0


def new(room: Any, called: str, /, **arguments: Any) -> Recipe:
    """A constructor with a generator, whose arguments are made anew for every call."""

    def make() -> Call:
        return Call(getattr(room, called), made_anew(arguments))

    return make


DRAWN: dict[str, Any] = {"generator": lambda: generator(), "dtype": np.float32}


def attention_config(**options: Any) -> layers.AttentionConfig:
    return layers.AttentionConfig(4, 2, **options)


def block_config(**options: Any) -> layers.BlockConfig:
    return layers.BlockConfig(4, 2, 5, **options)


def linear(d_in: int = 4, d_out: int = 3) -> layers.Linear:
    return layers.Linear(d_in, d_out, generator=generator())


def called(make: Callable[[], Any], /, **arguments: Any) -> Recipe:
    """A call of an object."""
    return method(make, "__call__", **arguments)


def method(make: Callable[[], Any], called: str, /, **arguments: Any) -> Recipe:
    def call() -> Call:
        owner = make()
        also = (KeyError, TypeError) if called == "__getitem__" else ()  # as of any mapping
        return Call(owner if called == "__call__" else getattr(owner, called), made_anew(arguments), also)

    return call


X = {"x": lambda: single(2, 3, 4)}
TRACED: dict[str, Any] = {"trace": lambda: layers.Trace(), "generator": lambda: generator()}


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
    "layers.LayerNorm": new(layers, "LayerNorm", width=4, bias=True, eps=1e-5, dtype=np.float32),
    "layers.LayerNorm.__call__": called(lambda: layers.LayerNorm(4), **X),
    "layers.RMSNorm": new(layers, "RMSNorm", width=4, eps=1e-5, dtype=np.float32),
    "layers.RMSNorm.__call__": called(lambda: layers.RMSNorm(4), **X),
    "layers.Linear": new(layers, "Linear", d_in=4, d_out=3, bias=True, **DRAWN),
    "layers.Linear.__call__": called(linear, **X),
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
}

SIZES = {"context_length": 8, "num_layers": 1, "num_heads": 2, "d_model": 4}


def gpt(**options: Any) -> models.GPT:
    return models.GPT(models.GPTConfig(5, **SIZES, **options), generator=generator())


def bert() -> models.BERT:
    return models.BERT(models.BERTConfig(5, **SIZES, num_classes=3, pooler=True), generator=generator())


def transformer() -> models.Transformer:
    config = models.TransformerConfig(5, num_layers=1, num_heads=2, d_model=4, d_hidden=5)
    return models.Transformer(config, generator=generator())


READ = {"ids": lambda: ids(2, 3), **TRACED}
LENGTHS = lambda: np.array([3, 2])  # noqa: E731
SOURCE = {"source": lambda: ids(2, 3), "source_lengths": LENGTHS}
SMOOTHED = {"ignore_index": -100, "label_smoothing": 0.1}
MODELS: dict[str, Recipe] = {
    "models.GPTConfig": new(
        models,
        "GPTConfig",
        vocabulary_size=5,
        **SIZES,
        dropout=0.1,
        bias=True,
        tied_head=True,
        positions="learned",
        norm_first=True,
        activation="relu",
    ),
    "models.LlamaConfig": new(
        models,
        "LlamaConfig",
        vocabulary_size=5,
        **SIZES,
        num_kv_heads=1,
        d_hidden=3,
        dropout=0.1,
        eps=1e-6,
        rotary_base=100.0,
        rotary_scaling=1.0,
        tied_head=True,
    ),
    "models.BERTConfig": new(
        models,
        "BERTConfig",
        vocabulary_size=5,
        **SIZES,
        d_hidden=3,
        num_segments=2,
        num_classes=3,
        dropout=0.1,
        norm_first=True,
    ),
    "models.TransformerConfig": new(
        models,
        "TransformerConfig",
        vocabulary_size=5,
        num_layers=1,
        num_heads=2,
        d_model=4,
        d_hidden=5,
        dropout=0.1,
        norm_first=True,
        norm="layer",
        activation="relu",
        bias=True,
    ),
    "models.GPT": new(models, "GPT", config=models.GPTConfig(5, **SIZES), **DRAWN),
    "models.Llama": new(models, "Llama", config=models.LlamaConfig(5, **SIZES), **DRAWN),
    "models.BERT": new(models, "BERT", config=models.BERTConfig(5, **SIZES), **DRAWN),
    "models.Transformer": new(
        models,
        "Transformer",
        config=models.TransformerConfig(5, num_layers=1, num_heads=2, d_model=4, d_hidden=5),
        **DRAWN,
    ),
    "models.GPT.__call__": called(
        gpt,
        mask=lambda: np.ones((2, 1, 1, 3), bool),
        positions=lambda: np.arange(3),
        cache=lambda: layers.KeyValueCache(8),
        **READ,
    ),
    "models.GPT.loss": method(
        gpt,
        "loss",
        targets=lambda: ids(2, 3),
        mask=lambda: np.ones((2, 1, 1, 3), bool),
        positions=lambda: np.arange(3),
        **READ,
        **SMOOTHED,
    ),
    "models.BERT.__call__": called(bert, segments=lambda: ids(2, 3, most=2), lengths=LENGTHS, **READ),
    "models.BERT.loss": method(
        bert,
        "loss",
        targets=lambda: ids(2, 3),
        segments=lambda: ids(2, 3, most=2),
        lengths=LENGTHS,
        ignore_index=-100,
        **READ,
    ),
    "models.BERT.classify": method(bert, "classify", segments=lambda: ids(2, 3, most=2), lengths=LENGTHS, **READ),
    "models.Transformer.__call__": called(transformer, **SOURCE, **READ),
    "models.Transformer.loss": method(transformer, "loss", targets=lambda: ids(2, 3), **SOURCE, **READ, **SMOOTHED),
    "models.Transformer.encode": method(
        transformer, "encode", source=lambda: ids(2, 3), mask=lambda: np.ones((2, 1, 1, 3), bool), **TRACED
    ),
    "models.Transformer.decode": method(
        transformer,
        "decode",
        memory=lambda: single(2, 3, 4),
        memory_mask=lambda: np.ones((2, 1, 1, 3), bool),
        mask=lambda: np.ones((3, 3), bool),
        positions=lambda: np.arange(3),
        cache=None,
        **READ,
    ),
    "models.Transformer.new_cache": method(transformer, "new_cache", capacity=8, **SOURCE),
}


def packed() -> Any:
    return small_layer()


RATE = {"learning_rate": 0.1, "parallel_map": map}
OPTIM: dict[str, Recipe] = {
    "optim.SGD": new(optim, "SGD", parameters=lambda: packed(), momentum=0.9, nesterov=True),
    "optim.Adam": new(optim, "Adam", parameters=lambda: packed(), betas=(0.9, 0.99), eps=1e-8),
    "optim.AdamW": new(optim, "AdamW", parameters=lambda: packed(), betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1),
    "optim.Optimizer.step": method(lambda: optim.AdamW(packed()), "step", **RATE),
    "optim.WeightAverage": new(optim, "WeightAverage", parameters=lambda: packed(), decay=0.9),
    "optim.WeightAverage.update": method(lambda: optim.WeightAverage(packed(), 0.9), "update", parallel_map=map),
    "optim.Constant": new(optim, "Constant", rate=0.1),
    "optim.WarmupCosine": new(optim, "WarmupCosine", peak=0.1, floor=0.01, warmup_steps=2, num_steps=9),
    "optim.WarmupInverseSquareRoot": new(optim, "WarmupInverseSquareRoot", d_model=4, warmup_steps=3, factor=1.0),
    "optim.Constant.__call__": called(lambda: optim.Constant(0.1), step=3),
    "optim.WarmupCosine.__call__": called(lambda: optim.WarmupCosine(0.1, 0.0, 2, 9), step=3),
    "optim.WarmupInverseSquareRoot.__call__": called(lambda: optim.WarmupInverseSquareRoot(4, 2), step=3),
    "optim.global_norm": new(optim, "global_norm", grads=lambda: normal(5), parallel_map=map),
    "optim.clip_global_norm": new(optim, "clip_global_norm", grads=lambda: normal(5), max_norm=1.0, parallel_map=map),
}


def sequences() -> list[np.ndarray]:
    return [ids(3), ids(2)]


def token_batch() -> text.TokenBatch:
    return text.TokenBatch(ids(2, 3), ids(2, 3))


WINDOWS = {"ids": lambda: ids(40), "batch_size": 2, "context_length": 5}
MASKING = {"vocabulary_size": 6, "mask_id": 5, "seed": 0, "share": 0.2}
TEXT: dict[str, Recipe] = {
    "text.CharacterTokenizer": new(text, "CharacterTokenizer", characters="abc"),
    "text.CharacterTokenizer.encode": method(lambda: text.CharacterTokenizer("abc"), "encode", text="cab"),
    "text.CharacterTokenizer.decode": method(
        lambda: text.CharacterTokenizer("abc"), "decode", ids=lambda: np.array([0, 2])
    ),
    "text.CharacterTokenizer.from_text": new(text.CharacterTokenizer, "from_text", text="abc"),
    "text.Corpus": new(text, "Corpus", name="a", text="abc"),
    "text.Corpus.split": method(lambda: text.Corpus("a", "abcdef"), "split", validation_share=0.5),
    "text.read_corpus": new(text, "read_corpus", path=Path("text.txt")),
    "text.TokenBatch": new(text, "TokenBatch", ids=lambda: ids(2, 3), targets=lambda: ids(2, 3)),
    "text.PackedBatch.split": method(token_batch, "split", num_shards=2),
    "text.SequenceBatch": new(text, "SequenceBatch", ids=lambda: ids(2, 3), targets=lambda: ids(2, 3), lengths=LENGTHS),
    "text.PackedBatch": new(
        text,
        "PackedBatch",
        ids=lambda: ids(2, 3),
        targets=lambda: ids(2, 3),
        documents=lambda: ids(2, 3),
        positions=lambda: ids(2, 3),
    ),
    "text.PairBatch": new(
        text,
        "PairBatch",
        source=lambda: ids(2, 3),
        source_lengths=LENGTHS,
        target_ids=lambda: ids(2, 3),
        targets=lambda: ids(2, 3),
        target_lengths=LENGTHS,
    ),
    "text.MaskedBatches": new(text, "MaskedBatches", **WINDOWS, **MASKING),
    "text.MaskedBatches.__call__": called(
        lambda: text.MaskedBatches(ids(40), 2, 5, vocabulary_size=6, mask_id=5, seed=0), index=1
    ),
    "text.ShuffledBatches": new(text, "ShuffledBatches", **WINDOWS, seed=0),
    "text.ShuffledBatches.__call__": called(lambda: text.ShuffledBatches(ids(40), 2, 5, seed=0), index=1),
    "text.fixed_batches": new(text, "fixed_batches", **WINDOWS, num_batches=2),
    "text.fixed_masked_batches": new(text, "fixed_masked_batches", **WINDOWS, num_batches=2, **MASKING),
    "text.ngram_entropy": new(
        text,
        "ngram_entropy",
        training=lambda: ids(20),
        validation=lambda: ids(9),
        vocabulary_size=5,
        order=2,
        smoothing=0.1,
    ),
    "text.packed_batch": new(text, "packed_batch", sequences=lambda: sequences(), context_length=5, padding_id=0),
    "text.padded_batch": new(text, "padded_batch", sequences=lambda: sequences(), padding_id=0),
    "text.pair_batch": new(
        text, "pair_batch", sources=lambda: sequences(), targets=lambda: sequences(), begin_id=1, end_id=2, padding_id=0
    ),
    "text.prompted_batch": new(text, "prompted_batch", prompts=lambda: ids(2, 3), answers=lambda: ids(2, 2)),
}

GENERATED = {"num_tokens": 3, "context_length": 8, "stop": (2,), "use_cache": True, "cache": None}


class OneToken:
    """A tokenizer of one token."""

    def chat(self, messages: Any) -> list[int]:
        return [1]

    def decode(self, ids: list[int]) -> str:
        return "a" * len(ids)


RESTRICTED = {
    "logits": lambda: normal(2, 5),
    "so_far": lambda: generation.TokensSoFar(ids(2, 3), np.array([3, 2]), 1),
}
GENERATION: dict[str, Recipe] = {
    "generation.generate": new(
        generation, "generate", model=lambda: gpt(), prompts=lambda: ids(2, 3), choose=generation.greedy, **GENERATED
    ),
    "generation.generate, prompts of two lengths": new(
        generation, "generate", model=lambda: gpt(), prompts=lambda: sequences(), choose=generation.greedy, **GENERATED
    ),
    "generation.beam_search": new(
        generation,
        "beam_search",
        model=lambda: gpt(),
        prompts=lambda: ids(2, 3),
        width=2,
        length_penalty=0.5,
        **GENERATED,
    ),
    "generation.greedy": new(generation, "greedy", logits=lambda: normal(2, 5)),
    "generation.greedy_answers": new(
        generation, "greedy_answers", model=lambda: gpt(), prompts=lambda: ids(2, 3), num_tokens=2, batch_size=2
    ),
    "generation.Beam": new(generation, "Beam", ids=lambda: ids(3), score=-1.0, log_probability=-1.0),
    "generation.RepetitionPenalty": new(generation, "RepetitionPenalty", penalty=1.1),
    "generation.RepetitionPenalty.__call__": called(lambda: generation.RepetitionPenalty(1.1), **RESTRICTED),
    "generation.NoRepeatedNgrams": new(generation, "NoRepeatedNgrams", size=2),
    "generation.NoRepeatedNgrams.__call__": called(lambda: generation.NoRepeatedNgrams(2), **RESTRICTED),
    "generation.ForbiddenWords": new(generation, "ForbiddenWords", words=((1, 2), (3,))),
    "generation.ForbiddenWords.__call__": called(lambda: generation.ForbiddenWords([[1, 2], [3]]), **RESTRICTED),
    "generation.SuppressedTokens": new(generation, "SuppressedTokens", tokens=(1, 2), at_first_only=True),
    "generation.SuppressedTokens.__call__": called(lambda: generation.SuppressedTokens([1]), **RESTRICTED),
    "generation.MinLength": new(generation, "MinLength", stop=(1, 2), new_tokens=2, tokens=4),
    "generation.MinLength.__call__": called(lambda: generation.MinLength([1], 2), **RESTRICTED),
    "generation.TokensSoFar": new(
        generation, "TokensSoFar", ids=lambda: ids(2, 3), lengths=lambda: np.array([3, 2]), num_new=1
    ),
    "generation.GenerationSettings": new(
        generation,
        "GenerationSettings",
        do_sample=True,
        temperature=0.7,
        top_k=5,
        top_p=0.9,
        min_p=0.1,
        repetition_penalty=1.1,
        no_repeat_ngram_size=2,
        bad_words_ids=((1, 2), (3,)),
        min_length=2,
        min_new_tokens=1,
        max_length=9,
        max_new_tokens=5,
        suppress_tokens=(1,),
        begin_suppress_tokens=(2,),
        eos_token_id=(0,),
        stop_strings=("end",),
        bos_token_id=1,
        pad_token_id=2,
    ),
    "generation.GenerationSettings.from_json": new(
        generation.GenerationSettings, "from_json", values={"top_k": 5, "eos_token_id": 2}, eos=(3,)
    ),
    "generation.GenerationSettings.choose": method(
        lambda: generation.GenerationSettings(do_sample=True), "choose", generator=lambda: generator()
    ),
    "generation.GenerationSettings.num_tokens": method(
        lambda: generation.GenerationSettings(max_length=9), "num_tokens", prompt_length=5
    ),
    "generation.stream_text": new(
        generation, "stream_text", tokens=lambda: [1, 2, 3], decode=lambda: str, stop=(3,), stop_strings=("end",)
    ),
    "generation.Conversation": new(
        generation,
        "Conversation",
        model=lambda: gpt(),
        tokenizer=lambda: OneToken(),
        settings=lambda: generation.GenerationSettings(),
        context_length=8,
        num_tokens=3,
        generator=lambda: generator(),
        system="text",
    ),
    "generation.Conversation.answer": method(
        lambda: generation.Conversation(
            gpt(), OneToken(), generation.GenerationSettings(), context_length=8, num_tokens=3, generator=generator()
        ),
        "answer",
        message="text",
    ),
    "generation.Sampling": new(
        generation, "Sampling", generator=lambda: generator(), temperature=0.5, top_k=3, top_p=0.9, min_p=0.1
    ),
    "generation.Sampling.__call__": called(
        lambda: generation.Sampling(generator(), top_k=3, top_p=0.9, min_p=0.1), logits=lambda: normal(2, 5)
    ),
    "generation.Sampling.scores": method(
        lambda: generation.Sampling(generator(), top_k=3), "scores", logits=lambda: normal(2, 5)
    ),
}


def trainer(**options: Any) -> training.Trainer:
    model = gpt()
    loss: Any = training.next_token_loss
    return training.Trainer(model, optim.AdamW(model), optim.Constant(0.1), loss, **options)


def trainer_arguments() -> Call:
    model = gpt()
    arguments = {"model": model, "optimizer": optim.AdamW(model), "average": optim.WeightAverage(model, 0.9)}
    arguments |= {"schedule": optim.Constant(0.1), "loss": training.next_token_loss}
    return Call(training.Trainer, {**arguments, "max_norm": 1.0, "num_workers": 1, "seed": 0})


def batches() -> list[text.TokenBatch]:
    return [token_batch(), token_batch()]


def checkpoint() -> training.Checkpoint:
    return training.model_checkpoint(gpt(), note="a")


TRAINING: dict[str, Recipe] = {
    "training.Trainer": trainer_arguments,
    "training.Trainer.step": method(trainer, "step", micro_batches=lambda: batches()),
    "training.Trainer.gradient": method(trainer, "gradient", micro_batches=lambda: batches()),
    "training.Trainer.evaluate": method(trainer, "evaluate", batches=lambda: batches()),
    "training.Trainer.first_non_finite": method(trainer, "first_non_finite", batches=lambda: batches()),
    "training.train": new(
        training,
        "train",
        trainer=lambda: trainer(),
        batches=lambda index: [token_batch()],
        num_steps=2,
        evaluation_batches=lambda: batches(),
        evaluate_every=1,
    ),
    "training.next_token_loss": new(
        training,
        "next_token_loss",
        model=lambda: gpt(),
        batch=lambda: token_batch(),
        generator=lambda: generator(),
        trace=lambda: layers.Trace(),
    ),
    "training.Progress": new(
        training, "Progress", num_steps=1, step=training.StepMetrics(1.0, 1.0, 0.1), validation_loss=1.0
    ),
    "training.StepMetrics": new(training, "StepMetrics", loss=1.0, gradient_norm=1.0, learning_rate=0.1),
    "training.Divergence": new(training, "Divergence", message="a", shard=None),
    "training.Checkpoint": new(training, "Checkpoint", tensors=lambda: {"a": normal(3)}, description=lambda: {"a": 1}),
    "training.first_difference": new(
        training, "first_difference", stored=lambda: {"a": 1}, current=lambda: {"a": 2}, name="b"
    ),
    "training.as_safetensors": new(
        training, "as_safetensors", arrays=lambda: {"a": normal(3)}, metadata=lambda: {"a": "b"}
    ),
    "training.read_checkpoint": new(training, "read_checkpoint", path=Path("model.safetensors")),
    "training.write_checkpoint": new(
        training, "write_checkpoint", path=Path("written.safetensors"), checkpoint=lambda: checkpoint()
    ),
    "training.model_checkpoint": new(training, "model_checkpoint", model=lambda: gpt(), note="a"),
    "training.trained_checkpoint": new(training, "trained_checkpoint", path=Path("model.safetensors")),
    "training.training_checkpoint": new(training, "training_checkpoint", trainer=lambda: trainer(), note="a"),
    "training.restore": lambda: Call(
        training.restore, {"trainer": trainer(), "checkpoint": training.training_checkpoint(trainer())}
    ),
    "training.save": new(training, "save", path=Path("saved.safetensors"), model=lambda: gpt(), note="a"),
    "training.load": new(training, "load", path=Path("model.safetensors"), model=lambda: gpt()),
}


def pair_batch() -> text.PairBatch:
    return text.pair_batch(sequences(), sequences(), begin_id=1, end_id=2)


W = {"weights": lambda: weights(2, 4, 4)}
ANALYSIS: dict[str, Recipe] = {
    **{
        f"analysis.{name}": new(attention_patterns, name, **W)
        for name in (
            "row_entropies",
            "mean_entropy",
            "previous_token_score",
            "self_score",
            "first_token_score",
            "head_divergences",
        )
    },
    "analysis.induction_score": new(
        attention_patterns, "induction_score", weights=lambda: weights(3, 2, 4, 4), ids=lambda: np.tile([1, 2], (3, 2))
    ),
    "analysis.uniform_attention": new(attention_patterns, "uniform_attention", length=3),
    "analysis.repeated_sequences": new(
        attention_patterns, "repeated_sequences", vocabulary_size=5, length=4, count=2, generator=lambda: generator()
    ),
    "analysis.measure_heads": new(
        attention_patterns,
        "measure_heads",
        model=lambda: gpt(),
        windows=lambda: ids(2, 4),
        sequences=lambda: np.tile([1, 2], (3, 2)),
    ),
    "analysis.norms_by_layer": new(
        norms,
        "norms_by_layer",
        trainer=lambda: trainer(),
        step=training.StepMetrics(1.0, 1.0, 0.1),
        batch=lambda: token_batch(),
    ),
    "analysis.measure_scores": new(
        score_scale, "measure_scores", d_k=3, num_keys=4, batch=2, generator=lambda: generator()
    ),
    "analysis.ScoreStatistics": new(
        score_scale, "ScoreStatistics", variance=1.0, entropy=1.0, typical_gradient=1.0, mean_gradient=1.0
    ),
    "analysis.Alignment": new(alignment, "Alignment", shares=lambda: {"a": normal(2, 2)}, uniform=lambda: {"a": 0.5}),
    "analysis.cross_attention": new(
        alignment, "cross_attention", model=lambda: transformer(), batch=lambda: pair_batch()
    ),
    "analysis.measure_alignment": new(
        alignment,
        "measure_alignment",
        model=lambda: transformer(),
        batch=lambda: pair_batch(),
        sought=lambda: {"a": np.ones((2, 4, 3), bool)},
    ),
}

LINE = {"x": lambda: np.arange(3), "y": lambda: normal(3)}


def panel() -> plots.Panel:
    return plots.Panel("a", "x", "y", [plots.Line("a", np.arange(3), normal(3))], levels={"b": 1.0})


PLOTS: dict[str, Recipe] = {
    "plots.Line": new(plots, "Line", name="a", kind="plain", width=1.0, **LINE),
    "plots.Panel": new(
        plots,
        "Panel",
        title="a",
        x_label="x",
        y_label="y",
        lines=lambda: panel().lines,
        log_x=False,
        log_y=True,
        levels=lambda: {"b": 1.0},
    ),
    "plots.line_panels": new(plots, "line_panels", panels=lambda: [panel()], columns=1, share_y=True, title="a"),
    "plots.mean_and_range": new(plots, "mean_and_range", name="a", x=lambda: np.arange(3), values=lambda: normal(2, 3)),
    "plots.attention_maps": new(
        plots,
        "attention_maps",
        weights=lambda: weights(1, 2, 3, 3),
        query_tokens="abc",
        key_tokens="abc",
        allowed=lambda: np.ones((3, 3), bool),
        layer_names=["a"],
        head_names=["a", "b"],
        title="a",
    ),
    "plots.loss_curve": new(
        plots,
        "loss_curve",
        steps=lambda: np.arange(3),
        training_loss=lambda: normal(3),
        validation_steps=lambda: np.arange(2),
        validation_loss=lambda: normal(2),
        references=lambda: {"a": 1.0},
        reference_run=lambda: ("a", np.arange(2), normal(2)),
        unit="nats",
        title="a",
    ),
    "plots.matrix_panels": new(
        plots,
        "matrix_panels",
        panels=lambda: {"a": normal(2, 2)},
        row_label="a",
        column_label="b",
        value_label="c",
        row_names=["a", "b"],
        column_names=["a", "b"],
        decimals=1,
        row_sums=True,
        bar_from_zero=False,
        title="a",
    ),
    "plots.norm_curves": new(
        plots,
        "norm_curves",
        steps=lambda: np.arange(3),
        gradient_norms=lambda: {"a": normal(3)},
        activation_norms=lambda: {"a": normal(3)},
        title="a",
    ),
    "plots.error_by_step": new(
        plots, "error_by_step", steps=lambda: normal(3), errors=lambda: {"a": normal(3)}, title="a"
    ),
    "plots.save_figure": new(plots, "save_figure", figure=lambda: plots.Figure(), path=Path("figure.png")),
    "plots.save_svg": new(plots, "save_svg", figure=lambda: plots.Figure(), path=Path("figure.svg")),
}


def sum_of_squares(x: np.ndarray) -> Any:
    return (x * x).sum()


def doubled(x: np.ndarray) -> np.ndarray:
    return 2 * x


def finding() -> gradcheck.Finding:
    return gradcheck.check_op(ops.softmax, normal(2, 2)).findings[0]


CHECKED = {"seed": 0, "zero": dict, "contract": "advice", "effort": "sample"}
GRADCHECK: dict[str, Recipe] = {
    "gradcheck.check_op": new(
        gradcheck, "check_op", op=ops.softmax, name="softmax", **CHECKED, **{"*arguments": lambda: [normal(2, 2)]}
    ),
    "gradcheck.check_layer": new(
        gradcheck,
        "check_layer",
        layer=lambda: layers.Linear(2, 2, generator=generator()),
        call=None,
        split=lambda: {"weight": 2},
        name="Linear",
        **CHECKED,
        **{"*arguments": lambda: [normal(2, 2)]},
    ),
    "gradcheck.check_gradient": new(
        gradcheck,
        "check_gradient",
        function=sum_of_squares,
        gradient=doubled,
        seed=0,
        zero=dict,
        effort="sample",
        **{"*arrays": lambda: [normal(2)]},
    ),
    "gradcheck.Finding": new(
        gradcheck, "Finding", tensor="a", verdict="right", errors=lambda: finding().errors, message="a"
    ),
    "gradcheck.Report": new(
        gradcheck,
        "Report",
        name="a",
        findings=lambda: [finding()],
        broken_promises=["a"],
        example="a",
        subject=None,
        contract="advice",
    ),
}
FREQUENCIES = {"d": 4, "base": 100.0, "factor": 2.0, "original_context": 8}
OPS |= {
    "ops.llama3_frequencies": new(
        ops, "llama3_frequencies", low_frequency_factor=1.0, high_frequency_factor=4.0, **FREQUENCIES
    ),
    "ops.yarn_frequencies": new(ops, "yarn_frequencies", fast_turns=32.0, slow_turns=1.0, truncate=True, **FREQUENCIES),
    "ops.yarn_magnitude": new(ops, "yarn_magnitude", factor=2.0),
    "ops.mean_pooling": new(ops, "mean_pooling", x=lambda: normal(2, 3, 4), lengths=lambda: np.array([3, 2])),
}
LAYERS |= {"layers.KeyValueCache.truncate": method(filled_cache, "truncate", length=1)}
MODELS |= {
    "models.BERT.embed": method(
        bert, "embed", segments=lambda: ids(2, 3, most=2), lengths=LENGTHS, pooling="mean", **READ
    ),
    "models.BERT.pooled": method(bert, "pooled", segments=lambda: ids(2, 3, most=2), lengths=LENGTHS, **READ),
}


def page() -> derivations.Page:
    return derivations.Page("a", "b", "c", "```python\nx = 1\n```\n")


def halves(x: np.ndarray) -> np.ndarray:
    return x / 2


GRADIENT = {"name": "dx", "gradient": lambda: np.full(3, 0.5), "rest": halves, "at": lambda: normal(3)}
DERIVATIONS: dict[str, Recipe] = {
    "derivations.CheckResult": new(
        derivations, "CheckResult", name="a", claim="same", error=0.0, is_right=True, line=1
    ),
    "derivations.Page": new(derivations, "Page", name="a", title="b", summary="c", text="d"),
    "derivations.find_page": new(derivations, "find_page", name="softmax"),
    "derivations.run_page": new(derivations, "run_page", page=lambda: page()),
    "derivations.describe_wrong": new(
        derivations, "describe_wrong", page=lambda: page(), result=derivations.CheckResult("a", "same", 1.0, False, 2)
    ),
    "derivations.kept_bytes": new(derivations, "kept_bytes", backward=len, **{"*already_there": lambda: [normal(3)]}),
    "derivations.check": new(derivations, "check", cotangent=lambda: np.ones(3), **GRADIENT),
    "derivations.derivative": new(
        derivations, "derivative", rest=halves, at=lambda: normal(3), cotangent=lambda: normal(3)
    ),
    "derivations.same": new(
        derivations, "same", name="a", found=lambda: normal(3), expected=lambda: normal(3), limit=1.0
    ),
    "derivations.vanishes": new(derivations, "vanishes", name="a", found=lambda: np.zeros(3), beside=1.0),
    "derivations.mistake": new(
        derivations, "mistake", name="a", wrong=lambda: np.full(3, 1.5), right=lambda: np.ones(3), off=0.5
    ),
    "catalogue.Entry": new(catalogue, "Entry", name="a", room="ops", checks=len),
}


@dataclass(frozen=True)
class Options:
    """The options of a program."""

    preset: str = "smoke"
    seed: int = 0
    steps: Annotated[int, runs.Range(at_least=1)] = 3
    out: Path | None = None
    resume: Path | None = None


def folder() -> runs.RunFolder:
    return runs.RunFolder(Path(f"run-{next(NUMBERS)}"), "a")


def table() -> runs.Table:
    return runs.Table(Path(f"table-{next(NUMBERS)}.csv"), ("step", "measure", "value"))


def recorder() -> runs.Recorder:
    return runs.Recorder(run_of(trainer()), folder(), {"a": 1})


def run_of(trained: training.Trainer) -> runs.Training:
    return runs.Training(trained, lambda index: [token_batch()], [token_batch()])


NUMBERS = count()
ABOUT = {"script": "a.py", "description": "Why?", "source": "b", "published": "c", "picture": "d.png"}
STEP = training.StepMetrics(1.0, 1.0, 0.1)
RUN = Path("run")
RUNS: dict[str, Recipe] = {
    "runs.About": new(runs, "About", **ABOUT),
    "runs.Range": new(runs, "Range", at_least=1.0, above=0.0, at_most=5.0, below=6.0),
    "runs.check_ranges": new(runs, "check_ranges", config=Options()),
    "runs.options_of": new(runs, "options_of", config=Options()),
    "runs.places_of": new(runs, "places_of", config=Options()),
    "runs.one_sentence_errors": new(runs, "one_sentence_errors", prog="a", status=2, kind=ValueError),
    "runs.parse": new(
        runs,
        "parse",
        presets=lambda: {"smoke": Options()},
        prog="a",
        description="b",
        arguments=lambda: ["--steps", "4"],
    ),
    "runs.ReferenceRun": new(runs, "ReferenceRun", name="a", steps=lambda: [1], losses=lambda: [1.0]),
    "runs.ReferenceRun.of_curve": new(runs.ReferenceRun, "of_curve", name="a", curve=lambda: (np.arange(3), normal(3))),
    "runs.Result": new(runs, "Result", metric="a", achieved=1.0, target=2.0, better="lower"),
    "runs.Stopped": new(runs, "Stopped", received=signal.SIGTERM, folder=Path("a"), steps="step 1"),
    "runs.Training": lambda: Call(runs.Training, {**vars(run_of(trainer())), "measure": dict}),
    "runs.ProgressBar": new(runs, "ProgressBar", num_steps=3, done=1),
    "runs.ProgressBar.update": method(
        lambda: runs.ProgressBar(3), "update", done=1, training_loss=1.0, validation_loss=1.0
    ),
    "runs.Recorder": new(
        runs, "Recorder", training=lambda: run_of(trainer()), folder=lambda: folder(), depends_on=lambda: {"a": 1}
    ),
    "runs.Recorder.record": method(recorder, "record", progress=lambda: training.Progress(1, STEP, 1.0)),
    "runs.Recorder.explain": method(recorder, "explain", error=training.Divergence("a")),
    "runs.run_training": new(
        runs, "run_training", recorder=lambda: recorder(), num_steps=1, evaluate_every=1, save_every=1
    ),
    "runs.reference_curves": new(runs, "reference_curves", script="a.py", preset="paper"),
    "runs.reference_run": new(runs, "reference_run", script="a.py", preset="paper"),
    "runs.comparable_run": new(runs, "comparable_run", folder=RUN, sha256="0"),
    "runs.draw_losses": new(
        runs, "draw_losses", folder=RUN, levels=lambda: {"a": 1.0}, reference=None, unit="nats", title="a"
    ),
    "runs.draw_norms": new(runs, "draw_norms", folder=RUN, title="a"),
    "runs.draw_attention": new(
        runs, "draw_attention", folder=RUN, ids=lambda: ids(3), tokens=["a", "b", "c"], title="a"
    ),
    "runs.RunFolder.write_json": method(folder, "write_json", name="a", content=lambda: {"a": 1}),
    "runs.RunFolder.write_text": method(folder, "write_text", name="a", text="b"),
    "runs.RunFolder.write_arrays": method(folder, "write_arrays", name="a", arrays=lambda: {"a": normal(3)}),
    "runs.Table": lambda: Call(runs.Table, {"path": Path("table.csv"), "columns": ("a", "b"), "position": None}),
    "runs.Table.add": method(table, "add", **{"*row": lambda: [1.0, "a", None]}),
    "runs.Table.write": method(table, "write", line="a"),
}
READERS = ("load_run", "read_json", "read_measures", "read_metrics", "read_run", "read_summary", "read_table")
RUNS |= {f"runs.{name}": new(runs, name, path=RUN) for name in READERS}
RUNS |= {
    "runs.RunFolder": new(runs, "RunFolder", path=Path("new"), name="a"),
    "runs.RunFolder.open": new(runs.RunFolder, "open", path=RUN),
    "runs.RunFolder.read_json": method(folder, "read_json", name="a"),
    "runs.RunFolder.table": method(folder, "table", name="a", position=None, **{"*columns": ["a", "b"]}),
    "runs.begin_run": new(
        runs, "begin_run", options=Options(), experiment="a", depends_on=lambda: {"a": 1}, notes=lambda: {"b": 2}
    ),
    "runs.conclude": new(
        runs,
        "conclude",
        folder=lambda: folder(),
        about=runs.About(**ABOUT),
        options=Options(),
        results=lambda: [runs.Result("a", 1.0, 2.0)],
        seconds=1.0,
    ),
    "runs.read_config": new(runs, "read_config", path=RUN, experiment="a", config_type=Options),
    "runs.read_options": new(runs, "read_options", path=RUN, experiment="a"),
    "runs.results_of": new(runs, "results_of", summary=lambda: {"results": []}),
}


def judged(recipe: Recipe) -> Recipe:
    """A check of a page, which may find that what is checked is wrong."""
    return lambda: recipe()._replace(also=(AssertionError,))


CHECKS = ("check", "same", "vanishes", "mistake")
DERIVATIONS |= {f"derivations.{name}": judged(DERIVATIONS[f"derivations.{name}"]) for name in CHECKS}


def exiting(recipe: Recipe) -> Recipe:
    """A command line, which ends the program for an option that does not exist."""
    return lambda: recipe()._replace(also=(SystemExit,))


def writing(recipe: Recipe) -> Recipe:
    """What writes a file, whose name may be that of a folder."""
    return lambda: recipe()._replace(also=(OSError,))


RUNS["runs.parse"] = exiting(RUNS["runs.parse"])
RUNS["runs.RunFolder.write_text"] = writing(RUNS["runs.RunFolder.write_text"])
for untried in UNTRIED:
    GENERATION.pop(untried, None)
RECIPES: dict[str, Recipe] = {
    **OPS,
    **LAYERS,
    **MODELS,
    **OPTIM,
    **TEXT,
    **GENERATION,
    **TRAINING,
    **ANALYSIS,
    **PLOTS,
    **GRADCHECK,
    **DERIVATIONS,
    **RUNS,
}
