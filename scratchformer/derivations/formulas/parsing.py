r"""Parses the subset of LaTeX that pages are written in.

The subset: numbers; letters, Greek letters and \mathrm names, with accents, primes and subscripts, which may be
computed (h_{r, H + j}); an index as a superscript in brackets (x^{(n)}_k); + - / \cdot, products by juxtaposition,
powers, \frac, \sqrt, brackets, |...|, \lfloor, \lceil; the functions in FUNCTIONS and those of the page's table; \sum
over letters, between bounds or under a condition; \max over a letter or of two values; partial derivatives with or
without what is held; \top; and cases whose conditions are comparisons. A sum extends over the product that follows it.
"""

import re
from collections.abc import Collection

from scratchformer.derivations.formulas.nodes import FormulaError, Node
from scratchformer.derivations.formulas.tokens import Tokens

FUNCTIONS = ("exp", "log", "tanh", "sin", "cos")
WORDS = ("erf", "diag")
GREEK = frozenset(
    "alpha beta gamma delta epsilon eta theta kappa lambda mu nu xi rho sigma tau phi psi omega Phi".split()  # noqa: SIM905
)
RELATIONS = {r"\le": "<=", r"\ge": ">=", "=": "==", "<": "<", ">": ">", r"\ne": "!="}
ENDS = {None, "+", "-", ")", "]", "}", ",", ":", "&", "\\\\", r"\end", r"\rfloor", r"\rceil", r"\in", *RELATIONS}


def parse(text: str, functions: Collection[str] = ()) -> Node:
    """The node of one member, with the names of functions. Raises FormulaError for anything outside the subset."""
    parser = _Parser(text, functions)
    node = parser.sum()
    if parser.peek() is not None:
        raise FormulaError(f"cannot read {parser.peek()!r}")
    return node


class _Parser(Tokens):
    def __init__(self, text: str, functions: Collection[str]) -> None:
        super().__init__(text)
        self.functions = functions
        self.is_within_bars = False

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
        while (
            self.peek() not in ENDS
            and not (self.peek() == "|" and self.is_within_bars)
            and not (self.peek() or "").startswith(r"\text{")
        ):
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
            return self.with_subscripts(self.bracketed())
        if self.take("|"):
            return self.between_bars()
        for word in ("floor", "ceil"):
            if self.take(rf"\l{word}"):
                node = self.sum()
                self.expect(rf"\r{word}")
                return ("call", word, node)
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

    def between_bars(self) -> Node:
        self.is_within_bars, outside = True, self.is_within_bars
        node = self.sum()
        self.is_within_bars = outside
        self.expect("|")
        return ("call", "abs", node)

    def argument(self) -> Node:
        return self.bracketed() if self.peek() == "(" else self.factor()

    def fraction(self) -> Node:
        if not self.take("{", r"\partial"):
            return ("divide", self.group(), self.group())
        above = None if self.peek() == "}" else self.factor()
        self.expect("}", "{", r"\partial")
        below = self.atom()
        self.expect("}")
        held = None
        if self.take(r"\held"):
            self.expect("_")
            held = self.group() if self.peek() == "{" else self.symbol()
        return ("partial", above or self.factor(), below, held)

    def summation(self) -> Node:
        """Over several letters, as over one after the other; a condition keeps some of the terms."""
        letters, bounds, conditions = self.index()
        body = self.product()
        if conditions:
            body = ("cases", ((body, (*conditions, False)), (("number", 0.0), None)))
        for letter in reversed(letters):
            body = ("sum", letter, bounds, body)
        return body

    def index(self) -> tuple[list[str], tuple[Node, Node] | None, list[Node]]:
        """What stands below a sum or a maximum: letters, bounds, conditions."""
        self.expect("_")
        if not self.take("{"):
            return [self.letter()], None, []
        letters = [self.letter()]
        while self.take(","):
            letters.append(self.letter())
        if self.take("="):
            lower = self.sum()
            self.expect("}", "^")
            return letters, (lower, self.group() if self.peek() == "{" else self.atom()), []
        conditions: list[Node] = []
        if self.take(r"\in"):
            name, subscripts = self.symbol()[1:]
            inside = ("symbol", name, (*subscripts, ("symbol", letters[-1], ())))
            conditions = [("!=", inside, ("number", 0.0))]
        elif self.take(":"):
            conditions = self.comparisons()
        self.expect("}")
        return letters, None, conditions

    def comparisons(self) -> list[Node]:
        """A chain such as a < b <= c, as comparisons of neighbours."""
        found: list[Node] = []
        first = self.sum()
        while self.peek() in RELATIONS:
            relation = RELATIONS[self.next()]
            second = self.sum()
            found.append((relation, first, second))
            first = second
        if not found:
            raise FormulaError(f"{self.peek()!r} is no comparison")
        return found

    def maximum(self, kind: str) -> Node:
        if kind == "larger" and self.peek() == "_":
            (letter,), _, conditions = self.index()
            body = self.factor()
            if conditions:
                body = ("cases", ((body, (*conditions, False)), (("number", float("-inf")), None)))
            return ("maximum", letter, body)
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
            elif word in ("if", "for", "if all"):
                branches.append((value, (*self.comparisons(), word == "if all")))
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
        while self.take("'"):
            name += "'"
        name, subscripts = self.subscripts(name)
        return self.application(name, subscripts)

    def application(self, name: str, subscripts: tuple[Node, ...]) -> Node:
        """A function of the page with its arguments, or a symbol."""
        is_numbered = subscripts and subscripts[0][0] == "number"
        numbered = f"{name}_{subscripts[0][1]:g}" if is_numbered else name
        if self.peek() != "(" or numbered not in self.functions:
            return ("symbol", name, subscripts)
        if is_numbered:
            name, subscripts = numbered, subscripts[1:]
        self.expect("(")
        arguments = [self.sum()]
        while self.take(","):
            arguments.append(self.sum())
        self.expect(")")
        _, after = self.subscripts("")
        return ("apply", name, subscripts, tuple(arguments), after)

    def with_subscripts(self, node: Node) -> Node:
        """A symbol in brackets with the subscripts behind them, as in (dW_query)_{ij}."""
        if self.peek() != "_" or node[0] != "symbol" or node[2]:
            return node
        return ("symbol", *self.subscripts(node[1]))

    def subscripts(self, name: str) -> tuple[str, tuple[Node, ...]]:
        """A name with the words below and above it, and its subscripts; an index above it is its first subscript."""
        found: tuple[Node, ...] = ()
        while True:
            if self.take("^", "{", r"\mathrm"):
                name += "_" + self.word()
                self.expect("}")
            elif self.peek() == "^" and self.peek(1) == "{" and self.peek(2) == "(":
                self.take("^", "{", "(")
                index = self.sum()
                self.expect(")", "}")
                found += (index,)
            elif self.take("_", "{", r"\mathrm"):
                name += "_" + self.word()
                self.expect("}")
            elif self.take("_", "{"):
                found += self.subscript_group()
            elif self.take("_"):
                found += (self.atom(),)
            else:
                return name, found

    def subscript_group(self) -> tuple[Node, ...]:
        """Subscripts between commas; without a sign of arithmetic, letters side by side are several."""
        found: list[Node] = []
        while not self.take("}"):
            self.take(",")
            start = self.place
            atoms = []
            while self.peek() not in (",", "}", "+", "-", "/"):
                atoms.append(self.atom())
            if self.peek() in ("+", "-", "/") or (atoms and atoms[0][0] == "number" and len(atoms) > 1):
                self.place = start
                atoms = [self.sum()]
            found += atoms
        return tuple(found)

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
