"""Whether a loss holds the logits of all words until its backward."""

import numpy as np

from scratchformer.layers import NO_TRACE, Layer, Linear, TiedLinear, Trace
from scratchformer.misfits import shown

MOST_HELD_LOGITS = 2**23
"""Of more, 32 MiB in float32, reading and writing all of them takes longer than forming them twice. A head
with more numbers has a gradient that takes as much memory, unless it is formed in parts with the logits."""


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
