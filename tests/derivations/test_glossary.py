"""The glossary in the list of pages is that of their tables now, and gives each name one meaning."""

from dataclasses import replace

import pytest

from scratchformer.derivations import Page, find_page, pages
from scratchformer.derivations.reader.glossary import definitions, glossary
from scratchformer.derivations.reader.pages import FOLDER

PAGES = pages()


def test_the_glossary_is_current() -> None:
    assert glossary(PAGES) in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_a_table_defines_names_and_not_indices_or_gradients() -> None:
    names = {name for name, _, _ in definitions(find_page("softmax"))}
    assert names == {"D", "x", "shift", "s", "e", "z", "y", "L", "J", "delta"}


def test_a_second_meaning_of_a_name_is_refused() -> None:
    softmax = find_page("softmax")
    other = replace(softmax, text=softmax.text.replace("the row's sum of exponentials", "a depth"))
    with pytest.raises(
        ValueError, match=r"^softmax\.md says 'a depth' of z, expected the words 'sum of exponentials'$"
    ):
        glossary([other if page.name == "softmax" else page for page in PAGES])
    new = replace(softmax, text=softmax.text.replace("| `z` |", "| `Q_hat` |"))
    with pytest.raises(ValueError, match=r"^the glossary has no meaning of Q_hat, which is on the pages softmax, "):
        glossary([new if page.name == "softmax" else page for page in PAGES])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_sources_are_linked(page: Page) -> None:
    (row,) = [line for line in page.text.splitlines() if line.startswith("| sources |")]
    assert "](https://" in row
