import ast
import traceback
from typing import Any

from scratchformer.derivations.reader.checking import Result, recording
from scratchformer.derivations.reader.pages import Page


class PageError(Exception):
    """The code of a page does not run; the message names page and line."""


def run_page(page: Page) -> list[Result]:
    """Runs the Python of a page, fence by fence, in one namespace; what its checks found, in the order of the page.

    Raises PageError when the code raises something; if a check found something wrong before, the page just ends there.
    """
    namespace: dict[str, Any] = {"__name__": page.name}
    with recording(str(page.path)) as results:
        for fence in page.fences:
            if fence.language != "python":
                continue
            try:
                # The page's own line numbers: tracebacks then point into it, and quote it.
                exec(compile("\n" * (fence.line - 1) + fence.code, str(page.path), "exec"), namespace)
            except SyntaxError as error:
                raise PageError(f"{page.name}.md, line {error.lineno}: {error.msg}") from error
            except Exception as error:
                if not all(result.is_right for result in results):
                    break
                raise PageError(
                    f"{page.name}.md, line {_line_of(error, page)}: {type(error).__name__}: {error}"
                ) from error
    return results


def lines_of(page: Page, result: Result) -> range:
    """The lines that give the checked variable its value, in the fence of the check; that of the check if none do."""
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
    return range(
        min(statement.lineno for statement in assigned), max(statement.end_lineno or 0 for statement in assigned) + 1
    )


def describe_wrong(page: Page, result: Result) -> str:
    """Where a wrong result comes from, in one sentence."""
    lines = lines_of(page, result)
    return f"{page.name}.md, line {lines[0]}: {result.name} is wrong, its {result.claim} is off by {result.error:.2g}"


def _names(statement: ast.Assign | ast.AugAssign) -> set[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _line_of(error: Exception, page: Page) -> int | None:
    own = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(page.path)]
    return own[-1] if own else None
