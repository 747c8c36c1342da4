"""The example of a page shows exchanged letters: its axes have different sizes, its inputs no equal elements."""

import re
from itertools import combinations

import numpy as np
import pytest

from scratchformer.derivations import Page, pages
from scratchformer.derivations.formulas.names import Bindings, Names, names_of
from scratchformer.derivations.formulas.nodes import FormulaError
from tests.annotations import unchecked

each_page = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
SHARED_SIZES: dict[str, set[str]] = {
    "muon": {"iq"},
    "gpt": {"bn", "iq"},
}
"""Letters of two axes that have one size.

A matrix has as many singular values as rows or columns, whichever are fewer. The blocks of GPT are entries of lists and
no axis of an array, and a third one would take too long.
"""
CONSTANTS = {"I", "ones", "ids", "target", "counts", "part", "tile", "A", "lambda", "move"}
"""Inputs that are names, choices or masks, and a move that is 0 where its derivative is taken."""


def names_on(page: Page) -> Names:
    names = names_of(page.text)
    assert names is not None
    return names


@each_page
def test_axes_have_different_sizes_of_at_least_two(page: Page) -> None:
    """Indices of one row of the table that run through the same numbers are those of one axis."""
    names = names_on(page)
    bindings = Bindings(names, {})
    axes = {(names.kinds[letter], code): letter for letter, code in reversed(names.letters.items())}
    sizes = {letter: len(bindings.values(letter)) for letter in axes.values()}
    assert all(size >= 2 for size in sizes.values())
    shared = {"".join(sorted(pair)) for pair in combinations(sizes, 2) if sizes[pair[0]] == sizes[pair[1]]}
    assert shared == SHARED_SIZES.get(page.name, set())


@each_page
def test_inputs_have_no_zero_and_no_equal_elements(page: Page) -> None:
    names, inputs = names_on(page), {}
    namespace: dict[str, object] = {}
    end = page.text.count("\n", 0, page.text.index("\n## Forward\n")) + 1
    for fence in page.fences:
        if fence.language == "python" and fence.line < end:
            with unchecked():
                exec(fence.code, namespace)
    for name, ways in names.symbols.items():
        for code, subscripts in ways.values():
            try:
                array = Bindings(names, namespace).array(code, name)
            except FormulaError:
                continue  # it is computed later
            if subscripts:
                inputs[name] = array
    constant = {name for name, array in inputs.items() if (array == 0).any() or len(np.unique(array)) < array.size}
    assert constant <= CONSTANTS


@each_page
def test_headings_name_what_the_page_has(page: Page) -> None:
    """A heading such as "Stage 4, to z" names a symbol or a word, and not one of an older notation."""
    names = names_on(page)
    for targets in re.findall(r"^\*\*(?:[A-Z]\w*, s|S)tages? [^*]*?, to ([^*]+)\*\*", page.text, re.MULTILINE):
        for letter in re.findall(r"(?<!')\b[A-Za-z]\b", targets):
            assert letter in names.symbols or letter == "a", f"{page.name}.md: to {targets}"
