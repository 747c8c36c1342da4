"""Binds the names of a page's formulas to its code, by the column "in code" of its table of conventions."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from scratchformer.derivations.formulas.nodes import FormulaError, Node, symbols_of
from scratchformer.derivations.formulas.tensors import Tensor

COLUMN = "in code"
FUNCTION = re.compile(r"(?P<name>[^()]+?(?:\^\(\d\))?)(?:_(?P<before>[a-z]))?\([^()]+\)(?:_(?P<after>[a-z]+))?")


@dataclass(frozen=True)
class Names:
    """What a table of conventions says of names.

    Args:
        letters: the code of the range of each index.
        kinds: the row of each index; indices of one row may stand in each other's place.
        symbols: by the name of a symbol and by its number of subscripts, the code of its array and the subscripts.
        functions: by name, the code of a function and the subscripts of its result.
    """

    letters: Mapping[str, str]
    kinds: Mapping[str, int]
    symbols: Mapping[str, Mapping[int, tuple[str, str]]]
    functions: Mapping[str, tuple[str, str]]

    def with_others(self, pairs: Iterable[tuple[str, str]]) -> "Names":
        """The same names, some of them with other code."""
        pairs = list(pairs)
        letters = dict(self.letters) | {symbol: code for symbol, code in pairs if symbol in self.letters}
        symbols = {name: dict(ways) for name, ways in self.symbols.items()}
        functions = dict(self.functions)
        for symbol, code in pairs:
            if symbol not in letters:
                _add(symbols, functions, letters, symbol, code)
        return Names(letters, self.kinds, symbols, functions)

    def with_arrays(self, namespace: Mapping[str, object], words: Iterable[str]) -> "Names":
        """The same names, and matrices of the code that the table does not name."""
        arrays = {word: namespace[word] for word in words if word in namespace and word not in self.symbols}
        more = {
            word: {min(array.ndim, 2): (word, "")} for word, array in arrays.items() if isinstance(array, np.ndarray)
        }
        return Names(self.letters, self.kinds, {**self.symbols, **more}, self.functions)


def names_of(text: str) -> Names | None:
    """Reads the table of a page; None if it has no column "in code".

    A row holds as many codes as symbols. The code of an index is a `range`, or a list of its values; that of a function
    is a function; the code of anything else is an array, whose last axes are its subscripts. Raises FormulaError for a
    row with more symbols than codes, or fewer.
    """
    conventions = text.partition("\n## Conventions\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in conventions.splitlines()
        if line.startswith("|")
    ]
    if not rows or COLUMN not in rows[0]:
        return None
    column = rows[0].index(COLUMN)
    pairs: list[tuple[int, str, str]] = []
    for number, row in enumerate(rows[2:]):
        symbols, codes = (re.findall("`([^`]+)`", row[place]) for place in (0, column))
        if codes and len(codes) != len(symbols):
            raise FormulaError(f"the row {row[0]!r} has {len(symbols)} symbols and {len(codes)} pieces of code")
        pairs += ((number, symbol, code) for symbol, code in zip(symbols, codes, strict=False))
    letters = {symbol: code for _, symbol, code in pairs if symbol.isalpha() and code.startswith(("range(", "["))}
    kinds = {symbol: number for number, symbol, _ in pairs if symbol in letters}
    arrays: dict[str, dict[int, tuple[str, str]]] = {}
    functions: dict[str, tuple[str, str]] = {}
    for _, symbol, code in pairs:
        if symbol not in letters:
            _add(arrays, functions, letters, symbol, code)
    return Names(letters, kinds, arrays, functions)


def _add(
    symbols: dict[str, dict[int, tuple[str, str]]],
    functions: dict[str, tuple[str, str]],
    letters: Mapping[str, str],
    symbol: str,
    code: str,
) -> None:
    function = FUNCTION.fullmatch(symbol)
    if function:
        name = re.sub(r"\^\((\d)\)$", r"_\1", function["name"])
        functions[name] = (code, function["after"] or "")
        return
    name, _, subscripts = symbol.rpartition("_")
    if not name or not set(subscripts) <= set(letters):
        name, subscripts = symbol, ""
    symbols.setdefault(name, {})[len(subscripts)] = (code, subscripts)
    if len(subscripts) > 1:
        symbols.setdefault(symbol, {}).setdefault(0, (code, ""))  # the subscript may be a word, as in `d_in`


class Bindings:
    """The values of names at one point of a page.

    Args:
        names: of the page.
        namespace: of its code at this point.
    """

    def __init__(self, names: Names, namespace: Mapping[str, object]) -> None:
        self.names, self.namespace = names, namespace
        self._kept: dict[str, object] = {}
        self._values: dict[str, np.ndarray] = {}

    def values(self, letter: str) -> np.ndarray:
        """The numbers that an index runs through."""
        if letter not in self.names.letters:
            raise FormulaError(f"the index {letter} has no range in the table of conventions")
        if letter not in self._values:
            self._values[letter] = np.array(self.run(self.names.letters[letter], letter))
        return self._values[letter]

    def ways(self, name: str) -> Mapping[int, tuple[str, str]]:
        """By number of subscripts, the code of a symbol and its subscripts as the table writes them."""
        if name not in self.names.symbols:
            raise FormulaError(f"{name} has no code in the table of conventions")
        return self.names.symbols[name]

    def way(self, name: str, subscripts: tuple[Node, ...]) -> tuple[str, str]:
        """The code of a symbol with these subscripts, and the subscripts in the table.

        One index more than in the table, before the others, names the last of the leading axes.
        """
        ways, count = self.ways(name), len(subscripts)
        if count in ways:
            return ways[count]
        first = subscripts[0] if subscripts else ("", "")
        if count - 1 in ways and first[0] == "symbol" and first[1] in self.names.letters:
            code, axes = ways[count - 1]
            return code, first[1] + axes
        raise FormulaError(f"{name} has {count} subscripts, expected {' or '.join(map(str, sorted(ways)))}")

    def fitting(self, name: str, subscripts: tuple[Node, ...]) -> tuple[str, str]:
        """The code and the subscripts of a symbol of which only the first subscripts may be written."""
        ways = self.ways(name)
        for count in sorted(count for count in ways if count >= len(subscripts)):
            inner = [
                (symbol[1], axis)
                for part, axis in zip(subscripts, ways[count][1], strict=False)
                for symbol in symbols_of(part)
            ]
            if all(self.are_alike(letter, axis) for letter, axis in inner if letter in self.names.letters):
                return ways[count]
        if len(subscripts) in ways:
            return ways[len(subscripts)]
        raise FormulaError(f"{name} has {len(subscripts)} subscripts, expected {' or '.join(map(str, sorted(ways)))}")

    def array(self, code: str, name: str) -> np.ndarray:
        """The array of a symbol."""
        return np.asarray(self.run(code, name), np.float64)

    def are_alike(self, letter: str, other: str) -> bool:
        """Whether two indices stand in one row of the table."""
        return self.names.kinds.get(letter) == self.names.kinds.get(other)

    def places(self, name: str, letter: str, numbers: Tensor) -> Tensor:
        """Where numbers are in the range of an index, which an axis of a symbol has."""
        values = self.values(letter)
        found = np.searchsorted(values, numbers.array).clip(max=len(values) - 1)
        if (values[found] != numbers.array).any():
            raise FormulaError(f"a subscript of {name} leaves its axis of size {len(values)}")
        return Tensor(found, numbers.names)

    def bind(self, name: str, array: np.ndarray, letters: tuple[str, ...]) -> Tensor:
        """Names the last axes of an array by its subscripts, and the axes before them `@1`, `@2`, from the last."""
        before = array.ndim - len(letters)
        if before < 0:
            raise FormulaError(f"{name} has {array.ndim} axes and {len(letters)} subscripts")
        for letter, size in zip(letters, array.shape[before:], strict=True):
            if len(self.values(letter)) != size:
                raise FormulaError(f"{name} has {size} places where {letter} runs through {len(self.values(letter))}")
        return Tensor(array, leading(before) + letters)

    def run(self, code: str, name: str) -> object:
        try:
            if code not in self._kept:
                self._kept[code] = eval(code, dict(self.namespace))
            return self._kept[code]
        except Exception as error:
            raise FormulaError(f"{name}, in code {code}: {type(error).__name__}: {error}") from error


def leading(count: int) -> tuple[str, ...]:
    """The names of axes that a formula leaves out, counted from the last."""
    return tuple(f"@{count - place}" for place in range(count))
