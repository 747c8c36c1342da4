import ast
import re
import traceback
from dataclasses import dataclass

from scratchformer.arguments import checked_arguments
from scratchformer.derivations.formulas.inline import Inline, inline_equations
from scratchformer.derivations.formulas.names import Names, names_of
from scratchformer.derivations.formulas.nodes import FormulaError
from scratchformer.derivations.formulas.page_formulas import Formulas, Member
from scratchformer.derivations.reader.checking import CheckResult, recording
from scratchformer.derivations.reader.pages import Fence, Page

Outcome = list[CheckResult] | str
"""The results of a page's checks; for a page that does not run, the error."""


class PageError(Exception):
    """Code of a page that does not run; the message names the page and the line."""


@dataclass(frozen=True)
class Run:
    """What a page's code and formulas gave.

    Args:
        results: of its checks and of its formulas, in order.
        members: of its formulas; empty for a page whose table of conventions has no column "in code".
    """

    results: list[CheckResult]
    members: list[Member]


@checked_arguments
def run_page(page: Page) -> list[CheckResult]:
    """Runs the Python of a page, fence by fence, in one namespace; returns the results of its checks in order.

    If code raises an error after a check has failed, the failed check is taken for the cause: the results so far are
    returned. Any other error raises PageError.
    """
    return run_with_formulas(page).results


@checked_arguments
def run_with_formulas(page: Page) -> Run:
    """Runs a page as `run_page` does, and also returns the members of its formulas.

    Formulas are evaluated with the values that names have after the Python that follows them. Raises PageError for a
    formula that cannot be evaluated, unless the page says so, or code has failed before.
    """
    namespace: dict[str, object] = {"__name__": page.name}
    names = _names_of(page)
    formulas = None if names is None else Formulas(page.text, names)
    waiting: list[Fence | Inline] = []
    members: list[Member] = []
    parts: list[Fence | Inline] = [*page.fences, *(inline_equations(page.text) if formulas is not None else ())]

    def evaluate() -> None:
        for part in waiting:
            if formulas is not None:
                members.extend(_evaluate(page, formulas, part, namespace, results))
        waiting.clear()

    with recording(str(page.path)) as results:
        for part in sorted(parts, key=lambda part: part.line):
            if isinstance(part, Inline) or (part.language == "math" and formulas is not None):
                waiting.append(part)
            if isinstance(part, Inline) or part.language != "python":
                continue
            try:
                # With the page's own line numbers, tracebacks point into the page and quote it.
                exec(compile("\n" * (part.line - 1) + part.code, str(page.path), "exec"), namespace)
            except SyntaxError as error:
                raise PageError(f"{page.name}.md, line {error.lineno}: {error.msg}") from error
            except Exception as error:
                if not all(result.is_right for result in results):
                    return Run(results, members)
                raise PageError(
                    f"{page.name}.md, line {_line_of(error, page)}: {type(error).__name__}: {error}"
                ) from error
            evaluate()
        evaluate()
    return Run(results, members)


def _names_of(page: Page) -> Names | None:
    try:
        return names_of(page.text)
    except FormulaError as error:
        raise PageError(f"{page.name}.md, table of conventions: {error}") from error


def _evaluate(
    page: Page, formulas: Formulas, part: Fence | Inline, namespace: dict[str, object], results: list[CheckResult]
) -> list[Member]:
    """Evaluates the formulas of a fence, or one in prose, and adds their results."""
    if isinstance(part, Inline):
        members = formulas.evaluate_inline(part, namespace)
    else:
        members = formulas.evaluate(part.code, part.line, namespace)
    for member in members:
        if member.error is not None:
            results.append(CheckResult(_short(member), "formula", member.error, member.is_right, member.line))
        elif not member.is_marked and all(result.is_right for result in results):
            raise PageError(f"{page.name}.md, line {member.line}: cannot evaluate {member.latex}: {member.reason}")
    return members


def _short(member: Member) -> str:
    """The left-hand side without the marks of LaTeX."""
    return re.sub(r"\\(?:mathrm|left|right|,)|[\\{}]", "", member.left)


def lines_of(page: Page, result: CheckResult) -> range:
    """The lines of the last statement before the check that assigns the checked variable, in the fence of the check.

    These are the line of the check if there is none, and the line of the member for a formula.
    """
    if result.claim == "formula":
        return range(result.line, result.line + 1)
    fence = next(fence for fence in reversed(page.fences) if fence.line <= result.line)
    assigned = [
        statement
        for statement in ast.walk(ast.parse("\n" * (fence.line - 1) + fence.code))
        if isinstance(statement, (ast.Assign, ast.AugAssign))
        and statement.lineno < result.line
        and result.name in _names(statement)
    ]
    if not assigned:
        return range(result.line, result.line + 1)
    last = max(assigned, key=lambda statement: statement.lineno)
    return range(last.lineno, (last.end_lineno or last.lineno) + 1)


@checked_arguments
def describe_wrong(page: Page, result: CheckResult) -> str:
    """One sentence that names the line which assigns the wrong value, and its error."""
    lines = lines_of(page, result)
    return f"{page.name}.md, line {lines[0]}: {result.name} is wrong, its {result.claim} is off by {result.error:.2g}"


def _names(statement: ast.Assign | ast.AugAssign) -> set[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _line_of(error: Exception, page: Page) -> int | None:
    own = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(page.path)]
    return own[-1] if own else None
