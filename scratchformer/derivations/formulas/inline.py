"""Equations in the prose of a page, which stand between backticks in plain notation, such as `dv = df F`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scratchformer.derivations.formulas.names import Names
from scratchformer.derivations.formulas.parsing import FUNCTIONS

CODE = re.compile(r"`([^`]+)`")
WORD = re.compile(r"[A-Za-z]\w*'*")


@dataclass(frozen=True)
class Inline:
    """One equation.

    Args:
        plain: as written.
        line: of the page.
        paragraph: the first line of its paragraph.
    """

    plain: str
    line: int
    paragraph: int


def inline_equations(text: str) -> Iterator[Inline]:
    """All code in prose that has an equals sign between spaces; not that in tables, which hold calls."""
    paragraph, is_fence = 1, False
    for line, content in enumerate(text.split("\n"), start=1):
        if content.startswith("```"):
            is_fence = not is_fence
        if is_fence or not content.strip() or content.startswith(("```", "<", "#")):
            paragraph = line + 1
        elif not content.startswith("|"):
            for found in CODE.findall(content):
                if " = " in found:
                    yield Inline(found, line, paragraph)


def latex_of(plain: str, names: Names) -> str:
    r"""Plain notation as LaTeX, which has each name of the table as \mathrm{name}."""
    latex = re.sub(r"sqrt\(([^()]*)\)", r"\\sqrt{\1}", plain).replace("^T", r"^\top")
    return WORD.sub(lambda found: _word(found, latex, names), latex)


def _word(found: re.Match[str], latex: str, names: Names) -> str:
    word = found[0]
    if len(word) == 1 or latex[: found.start()].endswith("\\"):
        return word
    if word in FUNCTIONS or word == "pi":
        return f"\\{word} "
    if word.startswith("sum_"):
        return " ".join(rf"\sum_{letter}" for letter in word[4:])
    base, _, letters = word.rpartition("_")
    if base == "delta":
        return rf"\delta_{{{letters}}}"
    if base in names.symbols and set(letters) <= set(names.letters):
        return rf"\mathrm{{{base}}}_{{{letters}}}"
    return rf"\mathrm{{{word}}}"
