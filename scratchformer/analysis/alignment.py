"""Where a decoder looks in its source while it writes.

A target token seeks some source tokens: those that it is made from. An alignment says how much of the attention to the
source falls on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.layers import Trace
from scratchformer.models import Transformer
from scratchformer.text import PairBatch


@checked_arguments
@dataclass(frozen=True)
class Alignment:
    """The share of its cross-attention that each head gives to the source tokens that are sought.

    Args:
        shares: from 0 to 1, (layers, heads), for each kind of tokens that are sought.
        uniform: the share of a head that attends to all of the source alike.
    """

    shares: Mapping[str, Float[ndarray, "layers heads"]]
    uniform: Mapping[str, float]

    @property
    def best_head(self) -> tuple[int, int]:
        """Layer and head, from 0, of the largest share in the mean over all kinds; the first of equal ones."""
        mean = np.mean(list(self.shares.values()), axis=0)
        layer, head = np.unravel_index(mean.argmax(), mean.shape)
        return int(layer), int(head)


@checked_arguments
def cross_attention(model: Transformer, batch: PairBatch) -> Float[ndarray, "b layers heads t s"]:
    """The weights with which the decoder attends to the source when it writes each token of the targets.

    Row i of the (T, S) belongs to the step that writes target token i, after the tokens before it were read.
    """
    trace = Trace("decoder.*.cross_attention.weights")
    with np.errstate(all="ignore"):
        model(batch.source, batch.target_ids, source_lengths=batch.source_lengths, trace=trace)
    return np.stack(list(trace.values()), axis=1)


@checked_arguments
def measure_alignment(model: Transformer, batch: PairBatch, sought: Mapping[str, Bool[ndarray, "b t s"]]) -> Alignment:
    """Measures how much of the attention, while target tokens are written, falls on the source tokens that they seek.

    A share is a mean over all target tokens that seek some source token.

    Args:
        model: whose cross-attention is measured.
        batch: the sources, and the targets as they are written.
        sought: for each kind, True where target token t seeks source token s.

    Raises ValueError where no target token seeks anything.
    """
    weights = cross_attention(model, batch)
    shares, uniform = {}, {}
    expected = (*weights.shape[:1], *weights.shape[-2:])
    for name, pairs in sought.items():
        if pairs.shape != expected:
            raise ValueError(f"measure_alignment: sought[{name!r}] has shape {pairs.shape}, expected {expected}")
        row, token = np.nonzero(pairs.any(axis=2))
        if not len(row):
            raise ValueError(f"measure_alignment: sought[{name!r}] is True for no target token")
        counted = pairs[row, token]
        shares[name] = (weights[row, :, :, token] * counted[:, None, None]).sum(axis=-1).mean(axis=0, dtype=np.float64)
        uniform[name] = float((counted.sum(axis=1) / batch.source_lengths[row]).mean())
    return Alignment(shares, uniform)
