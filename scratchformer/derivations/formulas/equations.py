"""Takes a fence of LaTeX apart: into equations A = B = C, and these into their members."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

SIGN = re.compile(r"=|<|>|\\(?:le|ge)(?![a-z])")
LINE_GOES_ON = re.compile(rf"\s*(&\s*)?({SIGN.pattern}|\+|-)")
LABEL = re.compile(r"\\text\{[^}]*:\s*\}")


@dataclass(frozen=True)
class Equation:
    """One equation of a fence.

    Args:
        members: the LaTeX between the signs; the first is the left-hand side.
        relations: the sign before each member but the first.
        lines: of the page, one for each member: where it begins.
    """

    members: tuple[str, ...]
    relations: tuple[str, ...]
    lines: tuple[int, ...]


def equations(code: str, first_line: int) -> Iterator[Equation]:
    """The equations of a fence, which are separated by quads and by line breaks."""
    code = LABEL.sub(lambda found: " " * len(found[0]), code)
    code = re.sub(r"\\(begin|end)\{aligned\}", lambda found: " " * len(found[0]), code)
    for start, end in _pieces(code):
        cuts = [(place, sign[0]) for place in _at_top(code, start, end) if (sign := SIGN.match(code, place))]
        begins = [start, *(place + len(sign) for place, sign in cuts)]
        ends = [*(place for place, _ in cuts), end]
        members = [code[a:b].replace("\\\\", " ") for a, b in zip(begins, ends, strict=True)]
        lines = []
        for place, member in zip(begins, members, strict=True):
            if member.strip(" \n&"):
                place += len(member) - len(member.lstrip(" \n&"))
            lines.append(first_line + code.count("\n", 0, place))
        cleaned = tuple(" ".join(member.replace("&", " ").split()).rstrip(", ") for member in members)
        if r"\begin{cases}" in code[start:end]:
            cleaned = tuple(" ".join(code[a:b].split()).rstrip(", ") for a, b in zip(begins, ends, strict=True))
        if cleaned != ("",):
            yield Equation(cleaned, tuple(sign for _, sign in cuts), tuple(lines))


def _pieces(code: str) -> Iterator[tuple[int, int]]:
    start = 0
    for place in _at_top(code, 0, len(code)):
        if place < start:
            continue
        separator = re.match(r"\\q?quad(?![a-z])", code[place:]) or re.match(r"\\\\", code[place:])
        if separator and not (separator[0] == "\\\\" and LINE_GOES_ON.match(code[place + 2 :])):
            yield start, place
            start = place + len(separator[0])
    yield start, len(code)


def _at_top(code: str, start: int, end: int) -> Iterator[int]:
    """The places outside braces, brackets, cases and matrices."""
    depth = 0
    for place in range(start, end):
        opens = code[place] in "{([" or code.startswith(r"\begin", place)
        closes = code[place] in "})]" or code.startswith(r"\end", place)
        depth += opens - closes
        if depth == 0:
            yield place
