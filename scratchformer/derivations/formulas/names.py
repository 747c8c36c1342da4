"""Binds the names of a page's formulas to its code, by the column "in code" of its table of conventions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scratchformer.derivations.formulas.nodes import FormulaError
from scratchformer.derivations.formulas.tensors import Tensor

COLUMN = "in code"


@dataclass(frozen=True)
class Names:
    """What a table of conventions says of names.

    Args:
        letters: the code of the range of each index.
        symbols: by the name of a symbol, the code of its array and the subscripts that it may have.
    """

    letters: Mapping[str, str]
    symbols: Mapping[str, tuple[str, tuple[str, ...]]]


def names_of(text: str) -> Names | None:
    """Reads the table of a page; None if it has no column "in code".

    A row holds as many codes as symbols. The code of an index is a `range`; the code of anything else is an array,
    whose last axes are its subscripts. Raises FormulaError for a row with more symbols than codes, or fewer.
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
    pairs: list[tuple[str, str]] = []
    for row in rows[2:]:
        symbols, codes = (re.findall("`([^`]+)`", row[place]) for place in (0, column))
        if codes and len(codes) != len(symbols):
            raise FormulaError(f"the row {row[0]!r} has {len(symbols)} symbols and {len(codes)} pieces of code")
        pairs += zip(symbols, codes, strict=False)
    letters = {symbol: code for symbol, code in pairs if code.startswith("range(")}
    arrays: dict[str, tuple[str, tuple[str, ...]]] = {}
    for symbol, code in pairs:
        if symbol in letters:
            continue
        name, _, subscripts = symbol.rpartition("_")
        if not name or not set(subscripts) <= set(letters):
            name, subscripts = symbol, ""
        earlier = arrays.get(name, (code, ()))
        if earlier[0] != code:
            raise FormulaError(f"{name} is bound to {earlier[0]} and to {code}")
        arrays[name] = (code, (*earlier[1], subscripts))
        if len(subscripts) > 1:
            arrays.setdefault(symbol, (code, ("",)))  # the subscript may be a word, as in `d_in`
    return Names(letters, arrays)


class Bindings:
    """The values of names at one point of a page.

    Args:
        names: of the page.
        namespace: of its code at this point.
    """

    def __init__(self, names: Names, namespace: Mapping[str, object]) -> None:
        self.names, self.namespace = names, namespace

    def values(self, letter: str) -> np.ndarray:
        """The numbers that an index runs through."""
        if letter not in self.names.letters:
            raise FormulaError(f"the index {letter} has no range in the table of conventions")
        return np.array(self.run(self.names.letters[letter], letter))

    def subscripts(self, name: str) -> tuple[str, ...]:
        """The ways in which the table writes subscripts of a name, such as ("i", "ri")."""
        if name not in self.names.symbols:
            raise FormulaError(f"{name} has no code in the table of conventions")
        return self.names.symbols[name][1]

    def array(self, name: str) -> np.ndarray:
        """The array of a symbol."""
        self.subscripts(name)
        return np.asarray(self.run(self.names.symbols[name][0], name), np.float64)

    def bind(self, name: str, array: np.ndarray, letters: tuple[str, ...]) -> Tensor:
        """Names the last axes of an array by its subscripts, and the axes before them `@1`, `@2`, from the last."""
        known = {len(way) for way in self.subscripts(name)}
        if len(letters) not in known:
            raise FormulaError(f"{name} has {len(letters)} subscripts, expected {' or '.join(map(str, sorted(known)))}")
        before = array.ndim - len(letters)
        if before < 0:
            raise FormulaError(f"{name} has {array.ndim} axes and {len(letters)} subscripts")
        for letter, size in zip(letters, array.shape[before:], strict=True):
            if len(self.values(letter)) != size:
                raise FormulaError(f"{name} has {size} places where {letter} runs through {len(self.values(letter))}")
        return Tensor(array, tuple(f"@{before - place}" for place in range(before)) + letters)

    def run(self, code: str, name: str) -> object:
        try:
            return eval(code, dict(self.namespace))
        except Exception as error:
            raise FormulaError(f"{name}, in code {code}: {type(error).__name__}: {error}") from error
