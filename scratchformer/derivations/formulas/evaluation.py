"""Evaluates a parsed formula over all of its free indices at once."""

from collections.abc import Mapping

import numpy as np
from scipy.special import erf

from scratchformer.derivations.formulas.names import Bindings
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
CALLS = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "sqrt": np.sqrt,
    "erf": erf,
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
        forward: by name, the left-hand side and the right-hand side of each formula of the forward pass.
        moved: values that replace those of the page, to difference a formula.
    """

    def __init__(
        self,
        bindings: Bindings,
        forward: Mapping[str, tuple[Node, Node]],
        moved: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.bindings, self.forward, self.moved = bindings, forward, moved or {}

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
        if kind == "sum":
            return self.sum(*parts)
        if kind == "maximum":
            return self.whole(self.value(parts[1]), parts[0]).reduced(parts[0], np.max)
        if kind == "partial":
            return partial_derivative(self, *parts)
        if kind == "cases":
            return self.cases(*parts)
        raise FormulaError(f"{kind} has a meaning between matrices only")

    def symbol(self, name: str, subscripts: tuple[Node, ...]) -> Tensor:
        if name == "delta" and len(subscripts) == 2:
            return combine(lambda a, b: (a == b).astype(float), *map(self.value, subscripts))
        if not subscripts and name in self.bindings.names.letters:
            return Tensor(self.bindings.values(name).astype(float), (name,))
        if len(subscripts) == 1 and self._is_one_name(name, subscripts[0]):
            name, subscripts = f"{name}_{subscripts[0][1]}", ()
        array = self.moved[name] if name in self.moved else self.bindings.array(name)
        if all(part[0] == "symbol" and not part[2] and part[1] in self.bindings.names.letters for part in subscripts):
            letters = tuple(part[1] for part in subscripts)
            if len(set(letters)) < len(letters):
                raise FormulaError(f"{name} has one subscript twice")
            return self.bindings.bind(name, array, letters)
        return self.picked(name, array, subscripts)

    def _is_one_name(self, name: str, subscript: Node) -> bool:
        """Whether the table has the subscript as a part of the name, as in `d_k`, and not as an index."""
        known = self.bindings.names
        return (
            subscript[0] == "symbol" and subscript[1] not in known.letters and f"{name}_{subscript[1]}" in known.symbols
        )

    def picked(self, name: str, array: np.ndarray, subscripts: tuple[Node, ...]) -> Tensor:
        """An element for each value of subscripts that are computed, such as those of `E_{t_n j}`."""
        ways = [way for way in self.bindings.subscripts(name) if len(way) == len(subscripts)]
        if not ways or array.ndim != len(subscripts):
            raise FormulaError(f"{name} has {len(subscripts)} subscripts for {array.ndim} axes")
        starts = [self.bindings.values(letter)[0] for letter in ways[0]]
        places = [
            combine(np.subtract, self.value(s), Tensor(np.array(b))) for s, b in zip(subscripts, starts, strict=True)
        ]
        for place, size in zip(places, array.shape, strict=True):
            if place.array.min() < 0 or place.array.max() >= size:
                raise FormulaError(f"a subscript of {name} leaves its axis of size {size}")
        return combine(lambda *indices: array[tuple(index.astype(int) for index in indices)], *places)

    def whole(self, body: Tensor, letter: str) -> Tensor:
        """The body with an axis for the letter, even where it does not depend on it."""
        ones = Tensor(np.ones(len(self.bindings.values(letter))), (letter,))
        return combine(np.multiply, body, ones)

    def sum(self, letter: str, bounds: tuple[Node, Node] | None, body: Node) -> Tensor:
        terms = self.whole(self.value(body), letter)
        if bounds is not None:
            size = len(self.bindings.values(letter))
            lower, upper = (self.value(bound) for bound in bounds)
            if upper.array.max() > size or lower.array.min() < 1:
                raise FormulaError(f"the sum over {letter} leaves its range from 1 to {size}")
            numbers = Tensor(np.arange(1, size + 1), (letter,))
            within = combine(lambda a, b, c: ((b <= a) & (a <= c)).astype(float), numbers, lower, upper)
            terms = combine(np.multiply, terms, within)
        return terms.reduced(letter, np.sum)

    def cases(self, branches: tuple[tuple[Node, Node | None], ...]) -> Tensor:
        result = self.value(branches[-1][0])
        for value, condition in reversed(branches[:-1]):
            assert condition is not None
            relation, first, second, is_for_all = condition
            holds = combine(COMPARISONS[relation], self.value(first), self.value(second))
            if is_for_all:
                free = set(self.value(value).names) | set(result.names)
                for letter in [name for name in holds.names if not name.startswith("@") and name not in free]:
                    holds = holds.reduced(letter, np.all)
            result = combine(np.where, holds, self.value(value), result)
        return result
