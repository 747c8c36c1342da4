"""Evaluates partial derivatives by differencing formulas of the forward pass."""

from typing import TYPE_CHECKING

import numpy as np

from scratchformer.derivations.formulas.nodes import FormulaError, Node, symbols_of
from scratchformer.derivations.formulas.tensors import Tensor, diagonal

if TYPE_CHECKING:
    from scratchformer.derivations.formulas.evaluation import Evaluator

STEP = 1e-3
WEIGHTS = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
"""Of the central difference of fourth order (Fornberg, "Generation of finite difference formulas", 1988, table 1)."""


def partial_derivative(evaluator: "Evaluator", above: Node, below: Node, held: Node | None) -> Tensor:
    """The partial derivative of one symbol with respect to another.

    If the forward formula of the first has the second in it, everything else in it is held. Otherwise the second
    moves all stages between the two.
    """
    formula = evaluator.forward.get(above[1])
    if formula is None:
        raise FormulaError(f"{above[1]} has no formula in the forward pass")
    left, right = formula
    inside = {symbol[1] for symbol in symbols_of(right)}
    if held is not None and held[1] not in inside:
        raise FormulaError(f"{held[1]} is held, but the formula of {above[1]} does not have it")
    if held is not None and held[1] == below[1]:
        raise FormulaError(f"{held[1]} is held, but it is what moves")
    is_direct = below[1] in inside
    if not is_direct and not depends(evaluator, above[1], below[1]):
        raise FormulaError(f"{above[1]} does not depend on {below[1]}")
    letters = [part[1] for part in left[2]]
    written = [part[1] for part in above[2]]
    left_out = len(letters) - len(written)
    if left_out < 0:
        raise FormulaError(f"{above[1]} has more subscripts than in the forward pass")
    evaluator.value(above)  # says whether the subscripts fit
    like = evaluator.value(below)
    base = evaluator.bindings.array(below[1])
    names, columns = _columns(evaluator, right, below[1], base, is_direct)
    renamed = dict(zip(letters[left_out:], written, strict=True))
    renamed |= {letter: f"@{left_out - place}" for place, letter in enumerate(letters[:left_out])}
    return diagonal(columns, tuple(renamed.get(name, name) for name in names) + like.names)


def _columns(
    evaluator: "Evaluator", right: Node, name: str, base: np.ndarray, is_direct: bool
) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the axes of a node, and its derivative by each element of a base, whose axes come last."""
    columns: list[np.ndarray] = []
    names: tuple[str, ...] = ()
    for place in np.ndindex(base.shape):
        total: np.ndarray | float = 0.0
        for steps, weight in WEIGHTS.items():
            moved = base.copy()
            moved[place] += steps * STEP
            at = type(evaluator)(evaluator.bindings, evaluator.forward, {name: moved})
            if not is_direct:
                at = _carried(at, right, name)
            found = at.value(right)
            names = found.names
            total = total + weight * np.where(np.isfinite(found.array), found.array, 0)
        columns.append(np.asarray(total) / STEP)
    return names, np.stack(columns, axis=-1).reshape(columns[0].shape + base.shape)


def _carried(evaluator: "Evaluator", node: Node, name: str) -> "Evaluator":
    """An evaluator in which every symbol of a node that depends on the moved name has moved with it."""
    for symbol in symbols_of(node):
        if symbol[1] not in evaluator.moved and depends(evaluator, symbol[1], name):
            left, right = evaluator.forward[symbol[1]]
            evaluator = _carried(evaluator, right, name)
            names, shape = evaluator.value(left).names, evaluator.bindings.array(symbol[1]).shape
            array = np.broadcast_to(evaluator.value(right).along(names), shape)
            evaluator = type(evaluator)(evaluator.bindings, evaluator.forward, {**evaluator.moved, symbol[1]: array})
    return evaluator


def depends(evaluator: "Evaluator", symbol: str, name: str) -> bool:
    """Whether a symbol is computed from a name, in one stage or several."""
    if symbol == name:
        return True
    formula = evaluator.forward.get(symbol)
    return formula is not None and any(
        depends(evaluator, inner[1], name) for inner in symbols_of(formula[1]) if inner[1] != symbol
    )
