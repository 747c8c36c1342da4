from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from scratchformer.arguments import checked_arguments
from scratchformer.gradcheck import Report, check_layer, check_op
from scratchformer.gradcheck.optimizers import Reference, Vector, check_optimizer
from scratchformer.gradcheck.strategies import Regime, seeds
from scratchformer.layers import Layer

Check = Callable[[], Report]
Room = Literal["ops", "layers", "models", "optim"]


@checked_arguments
@dataclass(frozen=True)
class Entry:
    """Something to check. `checks(regimes)` is a strategy that draws checks of it, on inputs in these regimes."""

    name: str
    room: Room
    checks: Callable[[Sequence[Regime]], SearchStrategy[Check]]


def op_entry(
    name: str, op: Callable[..., Any], inputs: Callable[[Sequence[Regime]], SearchStrategy[Sequence[Any]]]
) -> Entry:
    """An op, with a strategy for the list of its arguments."""

    def check(arguments: Sequence[Any], seed: int) -> Check:
        return lambda: check_op(op, *arguments, seed=seed, contract="required", name=name)

    return Entry(name, "ops", lambda regimes: st.builds(check, inputs(regimes), seeds))


def layer_entry(
    name: str,
    draw: Callable[[np.random.Generator], tuple[Layer, Sequence[Any]]],
    room: Room = "layers",
    **options: Any,
) -> Entry:
    """A layer and its inputs, drawn from a seed. Its parameters become random, as a 1 or 0 would hide mistakes."""

    def check(seed: int) -> Check:
        generator = np.random.default_rng(seed)
        layer, inputs = draw(generator)
        layer = layer.astype(np.float64)
        layer.values[...] = generator.standard_normal(layer.values.shape)
        return lambda: check_layer(layer, *inputs, seed=seed, contract="required", name=name, **options)

    return Entry(name, room, lambda regimes: seeds.map(check))


def optimizer_entry(name: str, make: Callable[[Vector], Any], reference: Reference) -> Entry:
    """An optimizer, with the algorithm of its paper for one parameter as reference."""

    def check(size: int, seed: int) -> Check:
        return lambda: check_optimizer(make, reference, size, seed=seed, name=name)

    return Entry(name, "optim", lambda regimes: st.builds(check, st.integers(1, 6), seeds))
