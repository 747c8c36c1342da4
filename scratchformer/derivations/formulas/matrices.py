"""Evaluates formulas without indices, whose symbols stand for whole matrices and rows."""

import numpy as np

from scratchformer.derivations.formulas.evaluation import ARITHMETIC, CALLS
from scratchformer.derivations.formulas.names import Bindings, leading
from scratchformer.derivations.formulas.nodes import FormulaError, Node, has_kind, symbols_of
from scratchformer.derivations.formulas.tensors import Tensor

INDEXED = ("sum", "maximum", "partial", "cases", "apply")


def is_matrix_formula(bindings: Bindings, nodes: list[Node]) -> bool:
    """Whether no symbol has a subscript and no index runs, and at least one symbol could have a subscript."""
    symbols = [symbol for node in nodes for symbol in symbols_of(node)]
    if any(symbol[2] for symbol in symbols) or any(has_kind(node, INDEXED) for node in nodes):
        return False
    known = bindings.names.symbols
    return any(min(known[symbol[1]]) > 0 for symbol in symbols if symbol[1] in known)


def matrix_value(bindings: Bindings, node: Node) -> Tensor:
    """The value of a node between matrices; its axes have no subscripts."""
    matrix = _matrix(bindings, node)
    return Tensor(matrix, leading(matrix.ndim))


def _matrix(bindings: Bindings, node: Node) -> np.ndarray:
    """The matrix of a node, with batch axes before it; a vector is a row, a number a matrix of one element."""
    kind, *parts = node
    if kind == "number":
        return np.full((1, 1), parts[0])
    if kind == "symbol":
        axes = min(bindings.ways(parts[0]))
        array = bindings.array(bindings.ways(parts[0])[axes][0], parts[0])
        if axes > 2 or axes > array.ndim:
            raise FormulaError(f"{parts[0]} has {axes} subscripts and {array.ndim} axes, and is no matrix")
        return array.reshape(array.shape[: array.ndim - axes] + (1,) * (2 - axes) + array.shape[array.ndim - axes :])
    if kind == "negative":
        return -_matrix(bindings, parts[0])
    if kind == "transpose":
        return _matrix(bindings, parts[0]).mT
    if kind == "call" and parts[0] == "diag":
        row = _matrix(bindings, parts[1])
        return row * np.eye(row.shape[-1])
    if kind == "call" and parts[0] in CALLS:
        return CALLS[parts[0]](_matrix(bindings, parts[1]))
    if kind not in ARITHMETIC:
        raise FormulaError(f"{kind} has no meaning between matrices")
    first, second = (_matrix(bindings, part) for part in parts)
    are_numbers = [matrix.shape[-2:] == (1, 1) for matrix in (first, second)]
    try:
        if kind == "multiply" and not any(are_numbers):
            return first @ second
        if any(are_numbers) or first.shape[-2:] == second.shape[-2:]:
            return ARITHMETIC[kind](first, second)
    except ValueError as error:
        raise FormulaError(f"the shapes {first.shape} and {second.shape} do not fit") from error
    raise FormulaError(f"the shapes {first.shape} and {second.shape} do not fit")
