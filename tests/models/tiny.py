"""Small models of every new kind, as they start and with random parameters."""

from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from scratchformer.models import BERT, BERTConfig, Transformer, TransformerConfig
from tests.gradients import with_random_values

few = settings(max_examples=4)
norm_orders = pytest.mark.parametrize("norm_first", [False, True])
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SIZES: dict[str, Any] = {"vocabulary_size": 7, "num_layers": 2, "num_heads": 2, "d_model": 4, "d_hidden": 5}


def transformer(seed: int = 0, **options: Any) -> Transformer:
    return Transformer(TransformerConfig(**SIZES | {"dropout": 0.0} | options), generator=np.random.default_rng(seed))


def random_transformer(seed: int = 0, **options: Any) -> Transformer:
    return with_random_values(transformer(seed, **options), seed, 0.7)


def bert(seed: int = 0, **options: Any) -> BERT:
    config = BERTConfig(**SIZES | {"context_length": 9, "num_classes": 3, "dropout": 0.0} | options)
    return BERT(config, generator=np.random.default_rng(seed))


def random_bert(seed: int = 0, **options: Any) -> BERT:
    return with_random_values(bert(seed, **options), seed, 0.7)
