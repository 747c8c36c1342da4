"""Evaluates partial derivatives by differencing formulas of the forward pass."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scratchformer.derivations.formulas.nodes import FormulaError, Node, symbols_of
from scratchformer.derivations.formulas.tensors import Tensor, diagonal

if TYPE_CHECKING:
    from scratchformer.derivations.formulas.evaluation import Evaluator

STEP = 1e-3
SMALLEST = 1e-2
"""The step is that of numbers of size 1 or more; smaller ones have smaller steps, but at least a hundredth of it."""
WEIGHTS = {-3: -1 / 60, -2: 3 / 20, -1: -3 / 4, 1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
"""Of the central difference of sixth order (Fornberg, "Generation of finite difference formulas", 1988, table 1)."""


def partial_derivative(evaluator: "Evaluator", above: Node, below: Node, held: Node | None) -> Tensor:
    """The partial derivative of a symbol, or of a formula, with respect to a symbol.

    The second moves everything in the formula that depends on it, in one stage or several; but if one symbol is held,
    all others are.
    """
    code = code_of(evaluator, below)
    if above[0] == "symbol" and code_of(evaluator, above) != code:
        formula = evaluator.forward.get(code_of(evaluator, above))
        if formula is None:
            raise FormulaError(f"{above[1]} has no formula in the forward pass")
        left, right = formula
        evaluator.value(above)  # says whether the subscripts fit
    else:
        left, right = None, above
    inside = {code_of(evaluator, symbol) for symbol in symbols_of(right)} - {""}
    if held is not None and code_of(evaluator, held) not in inside:
        raise FormulaError(f"{held[1]} is held, but the formula of {above[1]} does not have it")
    if held is not None and held[1] == below[1]:
        raise FormulaError(f"{held[1]} is held, but it is what moves")
    if not any(depends(evaluator, symbol, code) for symbol in symbols_of(right)):
        raise FormulaError(f"{above[1]} does not depend on {below[1]}")
    own = "" if left is None else code_of(evaluator, left)
    stages = [] if held is not None else list(dict.fromkeys(_stages(evaluator, right, code, own)))
    names, columns = _columns(evaluator, right, code, below[1], stages)
    base = evaluator.bindings.array(code, below[1])
    like, chosen = _chosen(evaluator, below, base)
    columns = columns.reshape((*columns.shape[: len(names)], -1))[..., chosen]
    if left is not None:
        names = _as_written(evaluator, left, above, names)
    return diagonal(columns, names + like.names)


def _chosen(evaluator: "Evaluator", below: Node, base: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """The elements that a symbol with its subscripts has in its array: as a tensor, their numbers."""
    code = code_of(evaluator, below)
    numbers = np.arange(base.size, dtype=float).reshape(base.shape)
    like = evaluator.with_moved(code, numbers).value(below)
    return like, like.array.astype(int)


def _as_written(evaluator: "Evaluator", left: Node, above: Node, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a formula's axes with the subscripts that a derivative gives to its left-hand side."""
    _, formal = evaluator.named(left[1], left[2])
    _, written = evaluator.named(above[1], above[2])
    renamed = {}
    if len(written) == len(formal) + 1:  # the first one names the last of the leading axes
        renamed["@1"], written = written[0][1], written[1:]
    left_out = len(formal) - len(written)
    if left_out < 0:
        raise FormulaError(f"{above[1]} has more subscripts than in the forward pass")
    for place, part in enumerate(formal):
        if part[0] != "symbol" or part[2] or part[1] not in evaluator.bindings.names.letters:
            if part != written[place - left_out]:
                raise FormulaError(f"{above[1]} has other subscripts than in the forward pass")
            continue
        other = written[place - left_out][1] if place >= left_out else f"@{left_out - place}"
        renamed[part[1]] = other
    return tuple(renamed.get(name, name) for name in names)


def _columns(
    evaluator: "Evaluator", right: Node, code: str, name: str, stages: Sequence[Node]
) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the axes of a node, and its derivative by each element of an array, whose axes come last."""
    base = evaluator.bindings.array(code, name)
    columns: list[np.ndarray] = []
    names: tuple[str, ...] = ()
    for place in np.ndindex(base.shape):
        total: np.ndarray | float = 0.0
        size = float(np.abs(base[place]))
        step = STEP * min(max(size, SMALLEST), 1.0) if size else STEP
        for steps, weight in WEIGHTS.items():
            moved = base.copy()
            moved[place] += steps * step
            at = evaluator.with_moved(code, moved)
            for stage in stages:
                at = _carried(at, stage)
            found = at.value(right)
            names = found.names
            total = total + weight * np.where(np.isfinite(found.array), found.array, 0)
        columns.append(np.asarray(total) / step)
    return names, np.stack(columns, axis=-1).reshape(columns[0].shape + base.shape)


def _stages(evaluator: "Evaluator", node: Node, code: str, own: str = "") -> Iterator[Node]:
    """The left-hand sides of all stages between an array and a node, in the order of the forward pass.

    In a recurrence, the earlier steps (`own`) stay.
    """
    for symbol in symbols_of(node):
        inner = code_of(evaluator, symbol)
        if inner not in (own, code) and depends(evaluator, symbol, code):
            left, right = evaluator.forward[inner]
            yield from _stages(evaluator, right, code, inner)
            yield left


def _carried(evaluator: "Evaluator", left: Node) -> "Evaluator":
    """An evaluator in which the left-hand side of a stage has the value that its formula gives now."""
    code = code_of(evaluator, left)
    right = evaluator.forward[code][1]
    names, shape = evaluator.value(left).names, evaluator.bindings.array(code, left[1]).shape
    return evaluator.with_moved(code, np.broadcast_to(evaluator.value(right).along(names), shape))


def code_of(evaluator: "Evaluator", symbol: Node) -> str:
    """The code of a symbol; the empty string for what has none, such as an index."""
    name, subscripts = evaluator.named(symbol[1], symbol[2])
    bindings = evaluator.bindings
    if name not in bindings.names.symbols:
        return ""
    ways = bindings.ways(name)
    return bindings.way(name, subscripts)[0] if len(subscripts) > max(ways) else bindings.fitting(name, subscripts)[0]


def depends(evaluator: "Evaluator", symbol: Node, code: str) -> bool:
    """Whether a symbol is computed from an array, in one stage or several."""
    own = code_of(evaluator, symbol)
    if own == code:
        return True
    formula = evaluator.forward.get(own)
    return formula is not None and any(
        depends(evaluator, inner, code) for inner in symbols_of(formula[1]) if code_of(evaluator, inner) != own
    )
