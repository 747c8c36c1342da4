"""Whether a loss holds the logits of all words until its backward, and the loss if it does not."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray

from scratchformer.layers import NO_TRACE, Layer, Linear, TiedLinear, Trace
from scratchformer.misfits import shown
from scratchformer.ops import Backward
from scratchformer.ops.checks import check_indices, check_shape

MOST_HELD_LOGITS = 2**23
"""Of more, 32 MiB in float32, reading and writing all of them takes longer than forming them twice. A head
with more numbers has a gradient that takes as much memory, unless it is formed in parts with the logits."""

MOST_LOGITS_AT_ONCE = 2**24
"""Of so many rows, the logits and their gradient are formed at once where the gradient of the loss is known. For each
further part of the rows, BLAS reads the head three times, and its gradient is read and written."""


def holds_logits(model: str, hold_logits: bool | None, num_logits: int, head: Layer, trace: Trace) -> bool:
    """The option `hold_logits` of a loss.

    None stands for True if there is a trace, if the head is stored in fewer bits, or if both logits and head are small.

    Raises TypeError, naming the model, for any other value.
    """
    if hold_logits is not None:
        if not isinstance(hold_logits, bool | np.bool_):
            raise TypeError(f"{model}: hold_logits must be True, False or None, got {shown(hold_logits)}")
        return bool(hold_logits)
    if isinstance(head, TiedLinear):
        weight = head.table
    elif isinstance(head, Linear):
        weight = head.weight
    else:
        return True
    return trace is not NO_TRACE or (num_logits <= MOST_HELD_LOGITS and weight.value.size <= MOST_HELD_LOGITS)


def loss_in_parts(
    cross_entropy: Callable[..., tuple[np.inexact, Backward]],
    x: Inexact[ndarray, "*batch d"],
    targets: Integer[ndarray, "*batch"],
    num_classes: int,
    *,
    dloss: float | None,
    ignore_index: int,
    **options: Any,
) -> tuple[np.inexact, Backward]:
    """Mean cross-entropy of a head's logits, and its `backward(dloss)` giving dx.

    If `dloss` is known by now, the gradient is added here, and `backward` only hands dx out. That takes some rows at a
    time, forward and backward, so that no logit is formed twice, and no more than MOST_LOGITS_AT_ONCE are held.
    """
    if dloss is None:
        return cross_entropy(x, targets, ignore_index=ignore_index, **options)
    check_indices("linear_cross_entropy", "targets", targets, num_classes, ignore=ignore_index)
    check_shape("linear_cross_entropy", "targets", targets, x.shape[:-1])
    options["hold_exponentials"] = True
    dx, is_counted = np.zeros_like(x), targets != ignore_index
    rows, target = x[is_counted], targets[is_counted]
    num_parts = max(1, math.ceil(len(rows) / max(1, MOST_LOGITS_AT_ONCE // num_classes)))

    def forward_and_backward(part: ndarray) -> tuple[float, ndarray]:
        share = len(part) / max(1, len(rows))
        loss, backward = cross_entropy(rows[part], target[part], ignore_index=ignore_index, **options)
        return share * loss, backward(share * dloss)

    found = [forward_and_backward(part) for part in np.array_split(np.arange(len(rows)), num_parts)]
    loss = x.dtype.type(sum(loss_of_part for loss_of_part, _ in found))
    dx[is_counted] = np.concatenate([drows for _, drows in found])
    held = [dx]

    def backward(given: float) -> ndarray:
        if given != dloss:
            raise ValueError(f"loss: backward must be called with the dloss that was given, {dloss:g}, got {given:g}")
        if not held:
            raise RuntimeError("loss: backward was called before; with a dloss that is known it is called once")
        return held.pop()

    return loss, backward
