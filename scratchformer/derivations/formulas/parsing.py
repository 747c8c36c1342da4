r"""Parses the subset of LaTeX that pages are written in.

The subset: numbers, letters with subscripts, \mathrm names, + - / \cdot, products by juxtaposition, powers, \frac,
\sqrt, brackets, the functions in FUNCTIONS, \sum and \max over a letter, partial derivatives with or without what is
held, \top, and cases whose conditions are comparisons.
"""

import re

from scratchformer.derivations.formulas.nodes import FormulaError, Node

TOKEN = re.compile(r"\\text\{[^}]*\}|\\[a-zA-Z]+|\\\\|\d+(?:\.\d+)?|\S")
SILENT = re.compile(r"(?<!\\)\\[,;! ]|\\(?:left|right|big|Big)(?![a-zA-Z])")
FUNCTIONS = ("exp", "log", "tanh", "sin", "cos")
WORDS = ("erf", "diag")
GREEK = frozenset(
    "alpha beta gamma delta epsilon eta theta kappa lambda mu nu xi rho sigma tau phi psi omega".split()  # noqa: SIM905
)
RELATIONS = {r"\le": "<=", r"\ge": ">=", "=": "==", "<": "<", ">": ">", r"\ne": "!="}
ENDS = {None, "+", "-", ")", "]", "}", ",", "&", "\\\\", r"\end", *RELATIONS}


def parse(text: str) -> Node:
    """The node of one member. Raises FormulaError for anything outside the subset."""
    parser = _Parser(text)
    node = parser.sum()
    if parser.peek() is not None:
        raise FormulaError(f"cannot read {parser.peek()!r}")
    return node


class _Parser:
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

    def sum(self) -> Node:
        negative = self.peek() == "-"
        if self.peek() in ("+", "-"):
            self.next()
        node = self.product()
        if negative:
            node = ("negative", node)
        while self.peek() in ("+", "-"):
            kind = "add" if self.next() == "+" else "subtract"
            node = (kind, node, self.product())
        return node

    def product(self) -> Node:
        node = self.factor()
        while self.peek() not in ENDS and self.peek() != "|" and not (self.peek() or "").startswith(r"\text{"):
            if self.take("/"):
                node = ("divide", node, self.factor())
            else:
                self.take(r"\cdot")
                node = ("multiply", node, self.factor())
        return node

    def factor(self) -> Node:
        return self.powers(self.atom())

    def powers(self, node: Node) -> Node:
        while self.take("^"):
            if self.take(r"\top"):
                node = ("transpose", node)
            else:
                node = ("power", node, self.group() if self.peek() == "{" else self.atom())
        return node

    def group(self) -> Node:
        self.expect("{")
        node = self.sum()
        self.expect("}")
        return node

    def bracketed(self) -> Node:
        closing = ")" if self.next() == "(" else "]"
        node = self.sum()
        self.expect(closing)
        return node

    def atom(self) -> Node:
        token = self.peek() or ""
        if re.fullmatch(r"\d+(\.\d+)?", token):
            return ("number", float(self.next()))
        if token in ("(", "["):
            return self.bracketed()
        if token == "{":
            return self.group()
        if self.take(r"\infty"):
            return ("number", float("inf"))
        if self.take(r"\pi"):
            return ("number", 3.141592653589793)
        if self.take(r"\frac"):
            return self.fraction()
        if self.take(r"\sqrt"):
            return ("call", "sqrt", self.group())
        if self.take(r"\sum"):
            return self.summation()
        if self.take(r"\max"):
            return self.maximum("larger")
        if self.take(r"\min"):
            return self.maximum("smaller")
        if self.take(r"\begin", "{", *"cases", "}"):
            return self.cases()
        if token[1:] in FUNCTIONS:
            return ("call", self.next()[1:], self.argument())
        return self.symbol()

    def argument(self) -> Node:
        return self.bracketed() if self.peek() == "(" else self.factor()

    def fraction(self) -> Node:
        if not self.take("{", r"\partial"):
            return ("divide", self.group(), self.group())
        above = self.symbol()
        self.expect("}", "{", r"\partial")
        below = self.symbol()
        self.expect("}")
        held = None
        if self.take(r"\held"):
            self.expect("_")
            held = self.group() if self.peek() == "{" else self.symbol()
        return ("partial", above, below, held)

    def summation(self) -> Node:
        self.expect("_")
        bounds = None
        if self.take("{"):
            letter = self.next()
            if self.take("="):
                lower = self.sum()
                self.expect("}", "^")
                bounds = (lower, self.group() if self.peek() == "{" else self.atom())
            else:
                self.expect("}")
        else:
            letter = self.next()
        return ("sum", letter, bounds, self.product())

    def maximum(self, kind: str) -> Node:
        if kind == "larger" and self.take("_"):
            return ("maximum", self.next(), self.factor())
        self.expect("(")
        first = self.sum()
        self.expect(",")
        second = self.sum()
        self.expect(")")
        return (kind, first, second)

    def cases(self) -> Node:
        branches: list[tuple[Node, Node | None]] = []
        while not self.take(r"\end", "{", *"cases", "}"):
            value = self.sum()
            self.expect("&")
            word = self.next().removeprefix(r"\text{").strip("} ") if (self.peek() or "").startswith(r"\text") else "if"
            if word == "otherwise":
                branches.append((value, None))
            elif word in ("if", "if all"):
                first, relation = self.sum(), self.next()
                if relation not in RELATIONS:
                    raise FormulaError(f"{relation!r} is no comparison")
                branches.append((value, (RELATIONS[relation], first, self.sum(), word == "if all")))
            else:
                raise FormulaError(f"cannot read the condition {word!r}")
            self.take("\\\\")
        if not branches or branches[-1][1] is not None:
            raise FormulaError("the last case must be otherwise")
        return ("cases", tuple(branches))

    def symbol(self) -> Node:
        name = "d" if self.take(r"\mathrm", "{", "d", "}") else ""
        if self.take(r"\mathrm"):
            word = self.word()
            if word in WORDS and not name:
                return ("call", word, self.argument())
            name += word
        else:
            name += self.letter()
        subscripts: tuple[Node, ...] = ()
        while self.peek() == "_" or (self.peek() == "^" and self.peek(1) == "{" and self.peek(2) == r"\mathrm"):
            if self.take("^"):
                self.expect("{", r"\mathrm")
                name += "_" + self.word()
                self.expect("}")
                continue
            self.expect("_")
            if not self.take("{"):
                subscripts += (self.atom(),)
            elif self.take(r"\mathrm"):
                name += "_" + self.word()
                self.expect("}")
            else:
                while not self.take("}"):
                    self.take(",")
                    start = self.place
                    plain = self.atom()
                    if self.peek() in ("+", "-"):
                        self.place = start
                        plain = self.sum()
                    subscripts += (plain,)
        return ("symbol", name, subscripts)

    def letter(self) -> str:
        token = self.next()
        if token in (r"\hat", r"\bar"):
            braced = self.take("{")
            letter = self.letter()
            if braced:
                self.expect("}")
            return f"{letter}_{token[1:]}"
        if token[1:] in GREEK and token[0] == "\\":
            return token[1:]
        if not re.fullmatch("[a-zA-Z]", token):
            raise FormulaError(f"cannot read {token!r}")
        return token

    def word(self) -> str:
        self.expect("{")
        word = ""
        while not self.take("}"):
            word += self.next()
        return word
