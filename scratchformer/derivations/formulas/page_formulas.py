"""Evaluates every member of a fence and compares it with the left-hand side."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scratchformer.derivations.formulas.equations import Equation, equations
from scratchformer.derivations.formulas.evaluation import COMPARISONS, Evaluator
from scratchformer.derivations.formulas.matrices import is_matrix_formula, matrix_value
from scratchformer.derivations.formulas.names import Bindings, Names
from scratchformer.derivations.formulas.nodes import FormulaError, Node, has_kind, symbols_of
from scratchformer.derivations.formulas.parsing import RELATIONS, parse
from scratchformer.derivations.formulas.partials import code_of, depends
from scratchformer.derivations.formulas.tensors import joined

LIMIT = 1e-9
SMALLEST_SIZE = 1e-3
"""A size below which an error is not relative: members that are 0 on paper are rounding errors."""
HERE = re.compile(r"<!-- in code: (?P<pairs>.+?) -->", re.DOTALL)
MARK = re.compile(r"<!-- not evaluated: (?P<start>.+?) because (?P<reason>.+?) -->", re.DOTALL)


@dataclass(frozen=True)
class Member:
    """One right-hand side of an equation.

    Args:
        left, latex: the left-hand side, and the member, as written.
        line: of the member in the page.
        parsed: its node; None if it is not evaluated.
        error: relative to the left-hand side; None if it is not evaluated.
        reason: why it is not evaluated, or cannot be.
        is_marked: whether the page says that it is not evaluated.
    """

    left: str
    latex: str
    line: int
    parsed: Node | None = None
    error: float | None = None
    reason: str = ""
    is_marked: bool = False

    @property
    def is_right(self) -> bool:
        """Whether the member equals the left-hand side."""
        return self.error is not None and self.error <= LIMIT


class Formulas:
    """The formulas of a page, which are evaluated fence by fence.

    Args:
        text: of the page.
        names: that its table binds.
    """

    def __init__(self, text: str, names: Names) -> None:
        self.lines, self.names = text.split("\n"), names
        self.forward: dict[str, tuple[Node, Node]] = {}

    def evaluate(self, code: str, line: int, namespace: Mapping[str, object]) -> list[Member]:
        """The members of a fence, with the values that names have after the code that follows it."""
        comments = comments_above(self.lines, line)
        marks = {found["start"]: found["reason"] for found in MARK.finditer(comments)}
        pairs = [pair.strip().split(" is ") for found in HERE.finditer(comments) for pair in found["pairs"].split(";")]
        names = self.names.with_others((symbol, code) for symbol, code in pairs)
        evaluator = Evaluator(Bindings(names, namespace), self.forward)
        found: list[Member] = []
        for equation in equations(code, line):
            mark = next((mark for mark in marks if equation.members[0].startswith(mark)), None)
            if mark is not None:
                left, *rest = zip(equation.members, equation.lines, strict=True)
                found += [
                    Member(left[0], latex, at, reason=marks[mark], is_marked=True) for latex, at in (rest or [left])
                ]
            else:
                found += self._members(equation, evaluator)
        return found

    def _members(self, equation: Equation, evaluator: Evaluator) -> list[Member]:
        left, *latexes = equation.members
        if not latexes:
            return [Member(left, left, equation.lines[0], reason="it has no equals sign")]
        try:
            nodes = [parse(member, evaluator.bindings.names.functions) for member in equation.members]
            is_matrix = is_matrix_formula(evaluator.bindings, nodes)
            if nodes[0][0] == "symbol" and not is_matrix:
                self._keep_forward(evaluator, nodes[0], nodes[1])
            with np.errstate(all="ignore"):
                values = _matrices(evaluator, nodes) if is_matrix else _tensors(evaluator, nodes)
            errors = list(_errors(equation.relations, values))
        except FormulaError as error:
            return [
                Member(left, latex, line, reason=str(error))
                for latex, line in zip(latexes, equation.lines[1:], strict=True)
            ]
        return [
            Member(left, latex, line, node, error)
            for latex, line, node, error in zip(latexes, equation.lines[1:], nodes[1:], errors, strict=True)
        ]

    def _keep_forward(self, evaluator: Evaluator, left: Node, right: Node) -> None:
        """Keeps a formula as the one that computes its left-hand side, unless it leads back to it."""
        code = code_of(evaluator, left)
        inner = [symbol for symbol in symbols_of(right) if code_of(evaluator, symbol) != code]
        if not has_kind(right, ["partial"]) and not any(depends(evaluator, symbol, code) for symbol in inner):
            self.forward.setdefault(code, (left, right))


def comments_above(lines: Sequence[str], line: int) -> str:
    """What stands right above a fence: which equations are not evaluated, and which names have other code.

    Args:
        lines: of the page.
        line: number of the first line in the fence.
    """
    last = line - 2
    while last > 0 and lines[last - 1].strip():
        last -= 1
    return "\n".join(lines[last : line - 2])


def _matrices(evaluator: Evaluator, nodes: list[Node]) -> list[np.ndarray]:
    return [matrix_value(evaluator.bindings, node) for node in nodes]


def _tensors(evaluator: Evaluator, nodes: list[Node]) -> list[np.ndarray]:
    """The values of members along the same axes."""
    values = [evaluator.value(node) for node in nodes]
    free = {name for name in values[0].names if not name.startswith("@")}
    for value in values[1:]:
        more = {name for name in value.names if not name.startswith("@")} - free
        if more:
            raise FormulaError(f"{', '.join(sorted(more))} is free on the right and not on the left")
    names = joined(*values)
    return [value.along(names) for value in values]


def _errors(relations: Sequence[str], values: Sequence[np.ndarray]) -> Iterator[float]:
    """Of each member but the first: beside the first that it must equal, or beside the one before an inequality."""
    first = values[0]
    for sign, before, value in zip(relations, values[:-1], values[1:], strict=True):
        if sign == "=":
            yield relative_error(value, first)
        else:
            first = value
            yield _failure(sign, before, value)


def _failure(sign: str, first: np.ndarray, second: np.ndarray) -> float:
    """0 if an inequality holds everywhere, otherwise infinity."""
    return 0.0 if COMPARISONS[RELATIONS[sign]](first, second).all() else float("inf")


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """max |found - expected| / max |expected|; infinite where only one of them is, and for NaN."""
    try:
        found, expected = np.broadcast_arrays(found, expected)
    except ValueError:
        return float("inf")
    different = ~(found == expected)
    if not different.any():
        return 0.0
    error = np.abs(found[different] - expected[different]).max()
    size = np.abs(expected[np.isfinite(expected)]).max(initial=SMALLEST_SIZE)
    return float(error / size) if np.isfinite(error) else float("inf")
