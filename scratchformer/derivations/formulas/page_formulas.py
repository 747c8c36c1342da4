"""Evaluates every member of a fence and compares it with the left-hand side."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from scratchformer.derivations.formulas.equations import Equation, equations
from scratchformer.derivations.formulas.evaluation import COMPARISONS, Evaluator
from scratchformer.derivations.formulas.inline import WORD, Inline, latex_of
from scratchformer.derivations.formulas.matrices import is_matrix_formula, matrix_value
from scratchformer.derivations.formulas.names import Bindings, Names
from scratchformer.derivations.formulas.nodes import FormulaError, Node, has_kind, symbols_of
from scratchformer.derivations.formulas.parsing import RELATIONS, parse
from scratchformer.derivations.formulas.partials import code_of, depends
from scratchformer.derivations.formulas.tensors import Tensor, joined

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
        return self._evaluated(equations(code, line), comments, self._names(comments), namespace)

    def evaluate_inline(self, inline: Inline, namespace: Mapping[str, object]) -> list[Member]:
        """The members of an equation in prose, with the values that names have after the code that follows it."""
        comments = comments_above(self.lines, inline.paragraph + 1)
        names = self._names(comments).with_arrays(namespace, WORD.findall(inline.plain))
        found = equations(latex_of(inline.plain, names), inline.line)
        marked = [Equation((inline.plain, inline.plain), ("=",), (inline.line, inline.line))]
        is_marked = any(inline.plain.startswith(mark["start"]) for mark in MARK.finditer(comments))
        return self._evaluated(marked if is_marked else found, comments, names, namespace)

    def _names(self, comments: str) -> Names:
        pairs = [pair.strip().split(" is ") for found in HERE.finditer(comments) for pair in found["pairs"].split(";")]
        return self.names.with_others((symbol, code) for symbol, code in pairs)

    def _evaluated(
        self, found_equations: Iterable[Equation], comments: str, names: Names, namespace: Mapping[str, object]
    ) -> list[Member]:
        marks = {found["start"]: found["reason"] for found in MARK.finditer(comments)}
        evaluator = Evaluator(Bindings(names, namespace), self.forward)
        found: list[Member] = []
        for equation in found_equations:
            mark = next((mark for mark in marks if equation.members[0].startswith(mark)), None)
            if mark is not None:
                left, *rest = zip(equation.members, equation.lines, strict=True)
                found += [
                    Member(left[0], latex, at, reason=marks[mark], is_marked=True) for latex, at in (rest or [left])
                ]
            else:
                found += self._members(equation, evaluator)
        return found

    def _members(self, equation: Equation, evaluator: Evaluator) -> Iterator[Member]:
        left, *latexes = equation.members
        lines = equation.lines
        if not latexes:
            yield Member(left, left, lines[0], reason="it has no equals sign")
            return
        nodes = [_outcome(parse, member, evaluator.bindings.names.functions) for member in equation.members]
        parsed = [node for node in nodes if not isinstance(node, FormulaError)]
        is_matrix = is_matrix_formula(evaluator.bindings, parsed)
        if parsed == nodes and nodes[0][0] == "symbol" and not is_matrix:
            _outcome(self._keep_forward, evaluator, nodes[0], nodes[1])
        evaluate = partial(matrix_value, evaluator.bindings) if is_matrix else evaluator.value
        values = [node if isinstance(node, FormulaError) else _outcome(evaluate, node) for node in nodes]
        first = values[0]
        if isinstance(first, FormulaError):
            yield from (Member(left, latex, lines[0], reason=str(first)) for latex in latexes)
            return
        for place, sign in enumerate(equation.relations, start=1):
            latex, line, value = equation.members[place], lines[place], values[place]
            error = (
                value if isinstance(value, FormulaError) else _outcome(_error, sign, value, first, values[place - 1])
            )
            if isinstance(error, FormulaError):
                yield Member(left, latex, line, reason=str(error))
            else:
                yield Member(left, latex, line, nodes[place], error)
                first = first if sign == "=" else value

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


def _outcome(function: Callable[..., Any], *arguments: object) -> Any:
    """What a function returns, or the FormulaError that it raises."""
    try:
        with np.errstate(all="ignore"):
            return function(*arguments)
    except FormulaError as error:
        return error


def _error(sign: str, value: Tensor, first: Tensor, before: Tensor) -> float:
    """Of a member, beside the first that it must equal, or beside the one before an inequality."""
    expected = first if sign == "=" else before
    if isinstance(expected, FormulaError):
        raise expected
    more = {name for name in value.names if not name.startswith("@")} - set(expected.names)
    if more:
        raise FormulaError(f"{', '.join(sorted(more))} is free on the right and not on the left")
    names = joined(expected, value)
    if sign == "=":
        return relative_error(value.along(names), expected.along(names))
    holds = COMPARISONS[RELATIONS[sign]](expected.along(names), value.along(names))
    return 0.0 if holds.all() else float("inf")


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
