"""Valid calls of what `scratchformer.models` has."""

from typing import Any

import numpy as np

from scratchformer import layers, models
from tests.malformed.recipes.call import DRAWN, LENGTHS, TRACED, Recipe, called, generator, ids, method, new, single

SIZES = {"context_length": 8, "num_layers": 1, "num_heads": 2, "d_model": 4}


def gpt(**options: Any) -> models.GPT:
    return models.GPT(models.GPTConfig(5, **SIZES, **options), generator=generator())


def bert() -> models.BERT:
    return models.BERT(models.BERTConfig(5, **SIZES, num_classes=3, pooler=True), generator=generator())


def transformer() -> models.Transformer:
    config = models.TransformerConfig(5, num_layers=1, num_heads=2, d_model=4, d_hidden=5)
    return models.Transformer(config, generator=generator())


READ = {"ids": lambda: ids(2, 3), **TRACED}
SOURCE = {"source": lambda: ids(2, 3), "source_lengths": LENGTHS}
SMOOTHED = {"ignore_index": -100, "label_smoothing": 0.1}
MODELS: dict[str, Recipe] = {
    "models.block_matrices": new(models, "block_matrices", model=gpt),
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
        hold_logits=True,
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
        hold_logits=True,
        **READ,
    ),
    "models.BERT.classify": method(bert, "classify", segments=lambda: ids(2, 3, most=2), lengths=LENGTHS, **READ),
    "models.Transformer.__call__": called(transformer, **SOURCE, **READ),
    "models.Transformer.loss": method(
        transformer, "loss", targets=lambda: ids(2, 3), hold_logits=True, **SOURCE, **READ, **SMOOTHED
    ),
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
    "models.BERT.embed": method(
        bert, "embed", segments=lambda: ids(2, 3, most=2), lengths=LENGTHS, pooling="mean", **READ
    ),
    "models.BERT.pooled": method(bert, "pooled", segments=lambda: ids(2, 3, most=2), lengths=LENGTHS, **READ),
}
