"""Cuts LaTeX into tokens, and reads them one after the other."""

import re

from scratchformer.derivations.formulas.nodes import FormulaError

TOKEN = re.compile(r"\\text\{[^}]*\}|\\[a-zA-Z]+|\\\\|\d+(?:\.\d+)?|\S")
SILENT = re.compile(r"(?<!\\)\\[,;:! ]|\\(?:left|right|big|Big)(?![a-zA-Z])")


class Tokens:
    """The tokens of one member.

    Args:
        text: the LaTeX.
    """

    def __init__(self, text: str) -> None:
        text = re.sub(r"\\left\s*\.", " ", text)
        text = re.sub(r"\\right\s*\|", r" \\held ", text)
        self.tokens = TOKEN.findall(SILENT.sub(" ", text))
        self.place = 0

    def peek(self, ahead: int = 0) -> str | None:
        place = self.place + ahead
        return self.tokens[place] if place < len(self.tokens) else None

    def next(self) -> str:
        token = self.peek()
        if token is None:
            raise FormulaError("the formula ends too early")
        self.place += 1
        return token

    def take(self, *tokens: str) -> bool:
        if tuple(self.tokens[self.place : self.place + len(tokens)]) != tokens:
            return False
        self.place += len(tokens)
        return True

    def expect(self, *tokens: str) -> None:
        if not self.take(*tokens):
            raise FormulaError(f"expected {' '.join(tokens)!r}, found {self.peek()!r}")
