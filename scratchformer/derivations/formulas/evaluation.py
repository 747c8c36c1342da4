"""Evaluates a parsed formula over all of its free indices at once."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from scratchformer.derivations.formulas.applications import applied
from scratchformer.derivations.formulas.names import Bindings, leading
from scratchformer.derivations.formulas.nodes import FormulaError, Node
from scratchformer.derivations.formulas.partials import partial_derivative
from scratchformer.derivations.formulas.tensors import Tensor, combine

ARITHMETIC = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "power": np.power,
    "larger": np.maximum,
    "smaller": np.minimum,
}
CALLS: dict[str, Callable[..., np.ndarray]] = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "sqrt": np.sqrt,
    "floor": np.floor,
    "ceil": np.ceil,
    "abs": np.abs,
    "erf": np.vectorize(math.erf, otypes=[float]),  # that of SciPy takes a quarter of the start of `derive`
}
COMPARISONS = {
    "<=": np.less_equal,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    ">": np.greater,
}


class Evaluator:
    """Evaluates nodes.

    Args:
        bindings: values of names.
        forward: by code, the left-hand side and the right-hand side of each formula of the forward pass.
        moved: by code, values that replace those of the page, to difference a formula.
    """

    def __init__(
        self,
        bindings: Bindings,
        forward: Mapping[str, tuple[Node, Node]],
        moved: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.bindings, self.forward, self.moved = bindings, forward, moved or {}

    def with_moved(self, code: str, array: np.ndarray) -> "Evaluator":
        """An evaluator in which one more array has another value."""
        return Evaluator(self.bindings, self.forward, {**self.moved, code: array})

    def array(self, code: str, name: str) -> np.ndarray:
        """The array that a piece of code stands for, moved or not."""
        return self.moved[code] if code in self.moved else self.bindings.array(code, name)

    def value(self, node: Node) -> Tensor:
        """The tensor of a node. Raises FormulaError for what has no value."""
        kind, *parts = node
        if kind == "number":
            return Tensor(np.array(parts[0]))
        if kind == "symbol":
            return self.symbol(*parts)
        if kind == "negative":
            return combine(np.negative, self.value(parts[0]))
        if kind in ARITHMETIC:
            return combine(ARITHMETIC[kind], *map(self.value, parts))
        if kind == "call" and parts[0] in CALLS:
            return combine(CALLS[parts[0]], self.value(parts[1]))
        if kind == "apply":
            return applied(self, node)
        if kind == "sum":
            return self.sum(*parts)
        if kind == "maximum":
            return self.whole(self.value(parts[1]), parts[0]).reduced(parts[0], np.max)
        if kind == "partial":
            return partial_derivative(self, *parts)
        if kind == "cases":
            return self.cases(*parts)
        raise FormulaError(f"{kind} has a meaning between matrices only")

    def named(self, name: str, subscripts: tuple[Node, ...]) -> tuple[str, tuple[Node, ...]]:
        """A symbol whose subscript is a part of its name, as in `d_k` and `beta_1`, has no subscript."""
        known = self.bindings.names
        if len(subscripts) == 1:
            kind, part, *_ = subscripts[0]
            word = f"{name}_{part:g}" if kind == "number" else f"{name}_{part}" if kind == "symbol" else ""
            if word in known.symbols and part not in known.letters:
                return word, ()
        return name, subscripts

    def symbol(self, name: str, subscripts: tuple[Node, ...]) -> Tensor:
        if name == "delta" and len(subscripts) == 2:
            return combine(lambda a, b: (a == b).astype(float), *map(self.value, subscripts))
        if not subscripts and name in self.bindings.names.letters:
            return Tensor(self.bindings.values(name).astype(float), (name,))
        name, subscripts = self.named(name, subscripts)
        code, axes = self.bindings.way(name, subscripts)
        return self.indexed(name, Tensor(self.array(code, name)), subscripts, axes)

    def indexed(self, name: str, tensor: Tensor, subscripts: tuple[Node, ...], axes: str) -> Tensor:
        """The last axes of a tensor with subscripts, which may be computed, as those of `E_{t_n j}` are.

        Args:
            name: for errors.
            tensor: its axes without names are the last ones.
            subscripts: of its last axes.
            axes: the indices that these axes have in the table.
        """
        array, known = tensor.array, tensor.names
        before = array.ndim - len(subscripts) - len(known)
        if before < 0:
            raise FormulaError(f"{name} has {array.ndim} axes and {len(subscripts)} subscripts")
        names = known + leading(before)
        if all(self._is_plain(name, subscript, axis) for subscript, axis in zip(subscripts, axes, strict=True)):
            letters = tuple(part[1] for part in subscripts)
            if len(set(letters)) < len(letters):
                raise FormulaError(f"{name} has one subscript twice")
            bound = self.bindings.bind(name, array, letters)
            return Tensor(bound.array, names + letters)
        places = [
            self.bindings.places(name, axis, self.value(subscript))
            for subscript, axis in zip(subscripts, axes, strict=True)
        ]
        for axis, size in zip(axes, array.shape[array.ndim - len(axes) :], strict=True):
            if len(self.bindings.values(axis)) != size:
                raise FormulaError(f"{name} has {size} places where {axis} runs through its range")
        picked = combine(lambda *numbers: np.broadcast_arrays(*numbers)[0], *places).names
        numbers = [place.along(picked) for place in places]
        free = tuple(letter for letter in picked if letter not in names)
        if len(free) < len(picked):
            raise FormulaError(f"{name} has a subscript that depends on axes which are left out")
        return Tensor(array[(slice(None),) * len(names) + tuple(numbers)], names + picked)

    def _is_plain(self, name: str, subscript: Node, axis: str) -> bool:
        """Whether a subscript is an index that runs along its axis as the table's index does."""
        if subscript[0] != "symbol" or subscript[2] or subscript[1] not in self.bindings.names.letters:
            return False
        if not self.bindings.are_alike(subscript[1], axis):
            raise FormulaError(f"{name} has the index {subscript[1]} in the place of {axis}")
        return len(self.bindings.values(subscript[1])) == len(self.bindings.values(axis))

    def whole(self, body: Tensor, letter: str) -> Tensor:
        """The body with an axis for the letter, even where it does not depend on it."""
        ones = Tensor(np.ones(len(self.bindings.values(letter))), (letter,))
        return combine(np.multiply, body, ones)

    def sum(self, letter: str, bounds: tuple[Node, Node] | None, body: Node) -> Tensor:
        terms = self.whole(self.value(body), letter)
        if bounds is not None:
            values = self.bindings.values(letter)
            lower, upper = (self.value(bound) for bound in bounds)
            if upper.array.max() > values[-1] or lower.array.min() < values[0]:
                raise FormulaError(f"the sum over {letter} leaves its range from {values[0]} to {values[-1]}")
            within = combine(lambda a, b, c: (b <= a) & (a <= c), Tensor(values, (letter,)), lower, upper)
            terms = combine(lambda a, b: np.where(b, a, 0), terms, within)
        return terms.reduced(letter, np.sum)

    def cases(self, branches: tuple[tuple[Node, Node | None], ...]) -> Tensor:
        result = self.value(branches[-1][0])
        for value, condition in reversed(branches[:-1]):
            assert condition is not None
            *comparisons, is_for_all = condition
            tests = [
                combine(COMPARISONS[relation], self.value(first), self.value(second))
                for relation, first, second in comparisons
            ]
            holds = combine(lambda *every: np.logical_and.reduce(np.broadcast_arrays(*every)), *tests)
            if is_for_all:
                free = set(self.value(value).names) | set(result.names)
                for letter in [name for name in holds.names if not name.startswith("@") and name not in free]:
                    holds = holds.reduced(letter, np.all)
            result = combine(np.where, holds, self.value(value), result)
        return result
