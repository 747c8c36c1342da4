from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Inexact, Integer, Shaped
from numpy import ndarray

from scratchformer.layers.block import TransformerBlock
from scratchformer.layers.cache import KeyValueCache, cache_within
from scratchformer.layers.trace import NO_TRACE, Trace
from scratchformer.ops import Backward


def stack(
    blocks: Sequence[TransformerBlock],
    x: Inexact[ndarray, "*batch t d"],
    mask: Shaped[ndarray, "..."] | None = None,
    memory: Inexact[ndarray, "*batch t_memory d_memory"] | None = None,
    memory_mask: Shaped[ndarray, "..."] | None = None,
    *,
    is_causal: bool = False,
    positions: Integer[ndarray, "..."] | None = None,
    generator: np.random.Generator | None = None,
    trace: Trace = NO_TRACE,
    cache: KeyValueCache | None = None,
    once: bool = False,
) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
    """Runs blocks one after another, all with the same masks, memory and options: y = block_n(... block_1(x)).

    Returns y, and `backward(dy)` giving `(dx, dmask, dmemory, dmemory_mask)`. All blocks share masks and memory. The
    gradients of these are sums over the blocks, or None for what was not given or is boolean. A trace and a cache name
    the blocks `0`, `1` and so on. With `once`, backward can be called once, and frees what a block holds as soon as it
    has passed the block.

    Derivation: `python -m scratchformer derive gpt`.
    """
    backwards, is_called = [], False
    for i, block in enumerate(blocks):
        x, block_backward = block(
            x,
            mask,
            memory,
            memory_mask,
            is_causal=is_causal,
            positions=positions,
            generator=generator,
            trace=trace.within(f"{i}"),
            cache=cache_within(cache, f"{i}"),
        )
        backwards.append(block_backward)

    def backward(dx: ndarray) -> tuple[ndarray, ndarray | None, ndarray | None, ndarray | None]:
        nonlocal is_called
        if is_called:
            raise RuntimeError("stack: backward was called before; with `once` it is called once")
        is_called = once
        dshared: list[ndarray | None] = [None, None, None]
        for block_backward in popped(backwards) if once else reversed(backwards):
            dx, *of_block = block_backward(dx)
            dshared = [add(total, part) for total, part in zip(dshared, of_block, strict=True)]
        dmask, dmemory, dmemory_mask = dshared
        return dx, dmask, dmemory, dmemory_mask

    return x, backward


def popped(backwards: list[Backward]) -> Iterator[Backward]:
    """Takes the items out of the list and yields them, the last one first."""
    while backwards:
        yield backwards.pop()


def add(total: ndarray | None, part: ndarray | None) -> ndarray | None:
    """The sum of two gradients, each of which may be None."""
    return part if total is None else total if part is None else total + part
