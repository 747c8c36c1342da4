"""What is said beside each formula of a page: that it was evaluated, or why it was not."""

import re
from collections.abc import Sequence

from scratchformer.derivations.formulas.page_formulas import MARK, comments_above
from scratchformer.derivations.reader.checking import CheckResult
from scratchformer.derivations.reader.pages import Fence, Page


def notes_of(page: Page, results: Sequence[CheckResult]) -> dict[int, str]:
    """A note for each fence of formulas, by the first line of what is in it; none for a page that stopped before."""
    notes = {fence.line: _note(page, fence, results) for fence in page.fences if fence.language == "math"}
    return {line: note for line, note in notes.items() if note}


def _note(page: Page, fence: Fence, results: Sequence[CheckResult]) -> str:
    lines = range(fence.line, fence.line + fence.code.count("\n"))
    of_fence = [result for result in results if result.claim == "formula" and result.line in lines]
    parts = []
    if of_fence:
        wrong = sum(not result.is_right for result in of_fence)
        parts.append(f"evaluated, and {wrong} of {len(of_fence)} members wrong" if wrong else "evaluated")
    above = comments_above(page.text.split("\n"), fence.line)
    reasons = [" ".join(found["reason"].split()) for found in MARK.finditer(above)]
    if reasons:
        start = "one part not evaluated" if of_fence else "not evaluated"
        parts.append(f"{start}: {'; '.join(dict.fromkeys(reasons))}")
    return "; ".join(parts)


def with_notes(page: Page, results: Sequence[CheckResult]) -> str:
    """The text of a page, with the note of each fence of formulas behind its first three backticks."""
    lines = page.text.split("\n")
    for line, note in notes_of(page, results).items():
        lines[line - 2] = re.sub("$", f"  ({note})", lines[line - 2])
    return "\n".join(lines)
