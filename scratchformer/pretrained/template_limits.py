"""Jinja's sandbox with limits to time and size, for templates from strangers.

The sandbox keeps a template from Python's internals, and does not keep it from taking forever, or all memory. Here
each step of a loop, call, filter and operator checks the time and counts; and what could make a large value of small
ones checks the sizes first.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateRuntimeError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MOST_SECONDS = 5.0
MOST_STEPS = 200_000
MOST_CHARACTERS = 2**22
"""Of a text, or items of a list, that a template makes."""
MOST_PRODUCT = 2**28
"""Characters that a method or filter could make of its value and its largest argument, as `replace` can."""
MOST_BITS = 4096
"""Of a whole number that a template makes."""
WIDE = re.compile(r"\d{4,}|%[-+ #0]*\*|\{[^{}]*:[^{}]*\{")
"""In a format string: a width of more than three digits, or one that stands elsewhere."""
COUNTED, JOINED = "counted step", "joined text"
"""Names of filters that no template can write, because of the space."""


class LimitError(TemplateRuntimeError):
    """A template did more than it may."""


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Runs one template once: what it has used up counts from the start of the environment."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, GenerationTag])
        self._steps = 0
        self._end = time.monotonic() + MOST_SECONDS
        self.filters = {
            **{name: self._bounded(function) for name, function in {**self.filters, "tojson": _tojson}.items()},
            COUNTED: self._counted,
            JOINED: self._joined,
        }
        del self.globals["lipsum"]  # makes as much text as it is asked for

    def run(self, source: str, variables: Mapping[str, Any]) -> str:
        """Compiles and renders a template. Raises whatever the template does, and LimitError beyond the limits."""
        tree = _Guards().visit(self.parse(source))
        template = self.template_class.from_code(self, self.compile(tree), self.globals)
        return self.concat(template.root_render_func(template.new_context(dict(variables))))

    def concat(self, parts: Iterable[str]) -> str:
        """Joins the parts of the output, of a macro, or of a block that is kept."""
        kept, size = [], 0
        for part in parts:
            kept.append(part)
            size += len(part)
            self._check_size(size)
        return "".join(kept)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls a function, method or macro."""
        __self._step()
        receiver = getattr(__obj, "__self__", None)
        if isinstance(receiver, str | list | tuple):
            __self._check_product(receiver, (*args, *kwargs.values()))
        if getattr(__obj, "__name__", "") in ("format", "format_map"):
            _check_widths(getattr(getattr(__obj, "__wrapped__", __obj), "__self__", ""))
        return __self._check(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Applies an operator."""
        self._step()
        if operator == "%" and isinstance(left, str):
            _check_widths(left)
        elif operator == "**" and not (isinstance(right, int | float) and abs(right) <= 64):
            raise LimitError("it takes a power above 64")
        elif operator in "*+" and not isinstance(left, int | float):
            self._check_product(left, (right,))
        elif operator == "*" and not isinstance(right, int | float):
            self._check_product(right, (left,))
        return self._check(super().call_binop(context, operator, left, right))

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise LimitError(f"it takes more than {MOST_STEPS} steps")
        if time.monotonic() > self._end:
            raise LimitError(f"it takes longer than {MOST_SECONDS:g} s")

    def _check_size(self, size: int) -> None:
        if size > MOST_CHARACTERS:
            raise LimitError(f"it makes a text or list of more than {MOST_CHARACTERS} characters or items")

    def _check(self, value: Any) -> Any:
        """The value, when it is not too large."""
        if isinstance(value, int) and value.bit_length() > MOST_BITS:
            raise LimitError(f"it makes a number of more than {MOST_BITS} bits")
        if isinstance(value, str | list | tuple | dict):
            self._check_size(len(value))
        return value

    def _check_product(self, value: Any, args: Iterable[Any]) -> None:
        if (_size(value) + 1) * (max(map(_size, args), default=0) + 1) > MOST_PRODUCT:
            raise LimitError(f"it could make a text or list of more than {MOST_PRODUCT} characters or items")

    def _bounded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter that counts, and whose result is not too large."""
        first = int(hasattr(function, "jinja_pass_arg"))  # Jinja passes its own context before the value

        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            self._step()
            value = args[first]
            self._check_product(value, (*args[first + 1 :], *kwargs.values()))
            if function.__name__ == "do_format":
                _check_widths(str(value))
            result = self._check(function(*args, **kwargs))
            return self._counted(result) if isinstance(result, Iterator) else result

        return bounded

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        """What a loop goes through."""
        for item in items:
            self._step()
            yield item

    def _joined(self, parts: list[Any]) -> str:
        """The operator `~`."""
        self._step()
        return self.concat([str(part) for part in parts])


class GenerationTag(Extension):
    """The tag `generation` of transformers, which marks what the model wrote. It changes nothing here."""

    tags = {"generation"}  # noqa: RUF012 as in Jinja

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Reads the tag, and gives what stands in it."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Guards(NodeTransformer):
    """Puts the counting filter around what loops go through, and a filter in the place of `~`."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, COUNTED, [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        return nodes.Filter(nodes.List(node.nodes), JOINED, [], [], None, None, lineno=node.lineno)


def _size(value: Any) -> int:
    """Characters or items of a value; for a whole number, as many as it may ask for."""
    if isinstance(value, int):
        return abs(value)
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | tuple | dict):
        items = value.values() if isinstance(value, dict) else value
        return sum(1 + (len(item) if isinstance(item, str) else 0) for item in items)
    return 0


def _check_widths(layout: str) -> None:
    if WIDE.search(layout):
        raise LimitError("it formats with a width above 999, or one that its format string does not say")


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
