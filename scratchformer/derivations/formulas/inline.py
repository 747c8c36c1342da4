"""Equations in the prose of a page, which stand between backticks in plain notation, such as `dv = df F`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scratchformer.derivations.formulas.names import Names
from scratchformer.derivations.formulas.parsing import FUNCTIONS

LEFT_OUT = ("Contract", "Conventions", "Wrong on purpose", "Cost and memory", "Exercises")
"""Sections with calls, symbols, formulas that are wrong, counts, and questions, whose names are their own.

Their equations are read where a comment above the paragraph gives the names code.
"""
BOUND = "<!-- in code: "
CODE = re.compile(r"`([^`]+)`")
SETTING = re.compile(r"\w+ = [-+\w.\"]+")
NO_EQUATION = re.compile(r"[@\[\]]|\.\.\.|\.[A-Za-z]|[-+]=|\w=\w|, \w+ =")
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
    """The equations in prose: code with an equals sign between spaces that is no call, no setting and no Python."""
    section, paragraph, is_fence, is_bound = "", 1, False, False
    for line, content in enumerate(text.split("\n"), start=1):
        if content.startswith("```"):
            is_fence = not is_fence
        elif not is_fence and content.startswith("## "):
            section = content[3:]
        if is_fence or not content.strip() or content.startswith(("```", "<", "#")):
            paragraph, is_bound = line + 1, content.startswith(BOUND)
        elif (section not in LEFT_OUT or is_bound) and not content.startswith("|"):
            for found in CODE.findall(content):
                if " = " in found and not SETTING.fullmatch(found) and not NO_EQUATION.search(found):
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
    if word not in names.symbols and base in names.symbols and set(letters) <= set(names.letters):
        return rf"\mathrm{{{base}}}_{{{letters}}}"
    return rf"\mathrm{{{word}}}"
