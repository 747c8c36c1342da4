from typing import Any

import numpy as np

from scratchformer.layers import Trace
from scratchformer.models import GPT
from scratchformer.text import TokenBatch


def next_token_loss(
    model: GPT, batch: TokenBatch, generator: np.random.Generator | None, trace: Trace | None
) -> tuple[Any, Any]:
    """What a trainer asks of a language model: the mean cross-entropy of a batch's targets, and its backward."""
    return model.loss(batch.ids, batch.targets, generator=generator, trace=trace)
