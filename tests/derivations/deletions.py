"""A page without one term: of its code or of its formulas."""

import ast
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from scratchformer import derivations
from scratchformer.derivations import Page, PageError, describe_wrong
from scratchformer.derivations.formulas import evaluation
from scratchformer.derivations.formulas.inline import Inline
from scratchformer.derivations.formulas.nodes import FormulaError
from scratchformer.derivations.formulas.page_formulas import Formulas, Member
from scratchformer.derivations.reader import running
from scratchformer.derivations.reader.pages import Fence
from scratchformer.derivations.reader.running import run_with_formulas
from tests.annotations import unchecked

STATEMENTS = (ast.Assign, ast.AugAssign)
ENDS = re.compile(
    r"[-+=<>&]|(?<!\\)[,;]|\\\\|\\q?quad(?![a-z])|\\(?:le|ge)(?![a-z])|\\text\{|\\(?:begin|end)\{(?:aligned|cases)\}"
)
SPACE = re.compile(r"(?:\s|&|\\[,;!])*")


@dataclass(frozen=True)
class Deletion:
    """A page that lacks a term.

    Args:
        page: without the term.
        lines: of the page, among which the term was.
        what: was deleted, in words.
    """

    page: Page
    lines: range
    what: str


def without(page: Page, start: int, end: int, new: str, lines: range) -> Deletion:
    """A page with one stretch of its text replaced; line breaks stay, so that line numbers do."""
    old = page.text[start:end]
    new += "\n" * (old.count("\n") - new.count("\n"))
    text = page.text[:start] + new + page.text[end:]
    return Deletion(replace(page, text=text), lines, f"{page.name}: {' '.join(old.split())} -> {' '.join(new.split())}")


def code_deletions(page: Page) -> Iterator[Deletion]:
    """Each term and each factor of what the backward pass assigns, up to its variants.

    Functions that only checks call are left out.
    """
    begin = page.text.index("\n## Backward\n")
    end = min(page.text.find(heading) % len(page.text) for heading in ("\n## Fused form\n", "\n**Variants"))
    offset = 0
    for fence in page.fences:
        offset = page.text.index(f"\n```{fence.language}\n{fence.code}", offset) + len(fence.language) + 5
        if fence.language != "python" or not begin < offset < end:
            continue
        starts = [0]
        for line in fence.code.splitlines(keepends=True):
            starts.append(starts[-1] + len(line.encode()))
        for statement in _statements(ast.parse(fence.code)):
            lines = range(fence.line + statement.lineno - 1, fence.line + (statement.end_lineno or 0))
            for node, new in _smaller(statement.value):
                place = [starts[row - 1] + column for row, column in _ends(node)]
                first, last = (offset + len(fence.code.encode()[:byte].decode()) for byte in place)
                yield without(page, first, last, new, lines)


def _statements(node: ast.AST) -> Iterator[ast.Assign | ast.AugAssign]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, STATEMENTS):
            yield child
        elif not isinstance(child, (ast.FunctionDef, ast.Expr)):
            yield from _statements(child)


def _smaller(value: ast.expr) -> Iterator[tuple[ast.expr, str]]:
    """Each part of an expression that has two operands, and one of them."""
    for node in ast.walk(value):
        if isinstance(node, ast.Lambda):
            return
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.MatMult)):
            yield node, f"({ast.unparse(node.left)})"
            if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
                sign = "-" if isinstance(node.op, ast.Sub) else ""
                yield node, f"({sign}({ast.unparse(node.right)}))"
        is_negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        if is_negative and not isinstance(node.operand, ast.Constant):
            yield node, f"({ast.unparse(node.operand)})"


def _ends(node: ast.expr) -> tuple[tuple[int, int], tuple[int, int]]:
    return (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)


def latex_deletions(page: Page) -> Iterator[Deletion]:
    """Each term of each sum in the formulas that are evaluated; the formula is to blame, all of its lines."""
    for start, code in evaluated_fences(page):
        line = page.text.count("\n", 0, start) + 1
        lines = range(line, line + code.count("\n"))
        for first, last in _terms(code):
            yield without(page, start + first, start + last, "", lines)


def evaluated_fences(page: Page) -> list[tuple[int, str]]:
    """Where each fence begins of which everything is evaluated, and what is in it."""
    found = re.finditer(r"^((?:<!--[^\n]*-->\n)*)```math\n(.*?)^```$", page.text, re.MULTILINE | re.DOTALL)
    return [(fence.start(2), fence[2]) for fence in found if "not evaluated" not in fence[1]]


def _terms(code: str) -> Iterator[tuple[int, int]]:
    """Where each term of a sum of two or more begins, with its sign, and ends."""
    words = re.sub(r"\\text\{[^}]*\}", lambda found: "\\text{" + "x" * (len(found[0]) - 7) + "}", code)
    for found in re.finditer(r"[-+]", words):
        before = words[: found.start()].rstrip(" \n&")
        yield found.start(), _end_of_term(words, found.end())
        if before and not re.search(r"[-+=<>({\[,&|]$|\\\\$|quad$|\\(?:le|ge|left\()$", before):
            first = _start_of_term(words, found.start())
            yield first, found.start() if found[0] == "-" else found.end()


def _end_of_term(code: str, place: int) -> int:
    depth = 0
    while place < len(code):
        if depth == 0 and (ENDS.match(code, place) or re.match(r"\\right(?![a-z])|\\held", code[place:])):
            return place
        depth += (code[place] in "{([") - (code[place] in "})]")
        if depth < 0:
            return place
        place += 1
    return place


def _start_of_term(code: str, place: int) -> int:
    depth = 0
    while place > 0:
        place -= 1
        depth += (code[place] in "})]") - (code[place] in "{([")
        ends = ENDS.match(code, place)
        if depth < 0 or (depth == 0 and ends and ends[0] != "\\text{"):
            after = place + (1 if depth < 0 else len(ends[0]) if ends else 1)
            return after + len((SPACE.match(code, after) or [""])[0])
    return 0


def verdict_of(deletion: Deletion) -> str:
    """ "at its line", "elsewhere", or "unnoticed".

    What comes before the deletion is as it was, and need not be checked again. What comes after the next code is run
    only if nothing was wrong so far.
    """
    page, lines = deletion.page, deletion.lines
    ends = [fence.line + fence.code.count("\n") for fence in page.fences if fence.language == "python"]
    end = next((end for end in ends if end > lines[-1]), len(page.text))
    begin = replace(page, text="".join(page.text.splitlines(keepends=True)[:end]))
    with checked_from(lines[0]):
        verdict = _verdict(begin, lines)
    return _verdict(page, lines) if verdict == "unnoticed" else verdict


@contextmanager
def checked_from(first: int) -> Iterator[None]:
    """Leaves out the checks of gradients, and the values of formulas, that stand before a line of a page."""
    check, evaluate = derivations.check, running._evaluate

    def check_from(*arguments: Any, **options: Any) -> None:
        if sys._getframe(1).f_lineno >= first:
            check(*arguments, **options)

    def evaluate_from(page: Page, formulas: Formulas, part: Fence | Inline, *rest: Any) -> list[Member]:
        if isinstance(part, Inline) or part.line + part.code.count("\n") > first:
            return evaluate(page, formulas, part, *rest)
        with mock.patch.object(evaluation, "partial_derivative", side_effect=FormulaError("not needed")):
            formulas.evaluate(part.code, part.line, rest[0])  # which keeps the formulas of the forward pass
        return []

    with mock.patch.object(derivations, "check", check_from), mock.patch.object(running, "_evaluate", evaluate_from):
        yield


def _verdict(page: Page, lines: range) -> str:
    with unchecked():
        try:
            wrong = [result for result in run_with_formulas(page).results if not result.is_right]
        except PageError as error:
            said = str(error)
        else:
            if not wrong:
                return "unnoticed"
            said = describe_wrong(page, wrong[0])
    found = re.search(r"line (\d+)", said)
    return "at its line" if found and int(found[1]) in lines else f"elsewhere: {said[:150]}"
