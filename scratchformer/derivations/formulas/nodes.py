"""Parsed formulas: nested tuples whose first element says what they are, so that they are plain data as JSON.

("number", value)                      ("symbol", name, (subscript, ...))
("negative", a)                        ("add" | "subtract" | "multiply" | "divide" | "power", a, b)
("call", function, a)                  ("larger" | "smaller", a, b)
("sum", letter, bounds or None, body)  ("maximum", letter, body)
("transpose", a)                       ("partial", y, x, held symbol or None)
("apply", name, (subscript, ...), (argument, ...), (subscript of the result, ...))
("cases", ((value, condition), ...))   a condition is ((relation, a, b), ..., whether for all letters) or, last, None
"""

from collections.abc import Collection, Iterator
from typing import Any

Node = tuple[Any, ...]


class FormulaError(ValueError):
    """A formula that cannot be evaluated; the message says what is missing."""


def symbols_of(node: Any) -> Iterator[Node]:
    """Every symbol in a node, also in its subscripts."""
    if isinstance(node, tuple):
        if node and node[0] == "symbol":
            yield node
        for part in node:
            yield from symbols_of(part)


def has_kind(node: Any, kinds: Collection[str]) -> bool:
    """Whether a node, or one in it, is of one of these kinds."""
    if not isinstance(node, tuple):
        return False
    return (bool(node) and node[0] in kinds) or any(has_kind(part, kinds) for part in node)
