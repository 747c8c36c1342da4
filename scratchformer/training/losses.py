from typing import Any

import numpy as np

from scratchformer.layers import Trace


def next_token_loss(
    model: Any, batch: Any, generator: np.random.Generator | None, trace: Trace | None
) -> tuple[Any, Any]:
    """The loss of a language model, one with `loss(ids, targets)`, on a batch of tokens, as a trainer asks for it."""
    return model.loss(batch.ids, batch.targets, generator=generator, trace=trace)
