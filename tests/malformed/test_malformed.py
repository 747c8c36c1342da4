"""Malformed calls get one clear sentence, everywhere: the name of the function, the argument, what was expected."""

from pathlib import Path

import pytest

from tests.malformed.campaign import Outcome, run
from tests.malformed.collecting import public_callables
from tests.malformed.recipes import RECIPES, UNTRIED
from tests.malformed.recipes.files import write_files

DRAWING = "plots."
"""Calls that are accepted draw figures, which takes most of a second each."""


@pytest.fixture
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_files()


def assert_clear(outcome: Outcome) -> None:
    found = [f"{count} x {place}: {outcome.examples[place]}" for place, count in sorted(outcome.unclear.items())]
    assert not found, "\n".join(map(str, found))


def test_no_public_callable_is_left_out() -> None:
    tried = {name.partition(",")[0].partition(" with ")[0] for name in RECIPES}
    assert set(public_callables()) - set(UNTRIED) - tried == set(), "these need a recipe in tests/malformed/recipes"
    assert tried | set(UNTRIED) <= set(public_callables()), "these are gone"


@pytest.mark.usefixtures("unchecked", "in_a_folder")
def test_a_few_hundred_malformed_calls_are_clear() -> None:
    names = [name for name in RECIPES if not name.startswith(DRAWING)]
    outcome = run(len(names), seed=0, names=names)
    assert_clear(outcome)
    assert outcome.refused > 200


@pytest.mark.long
@pytest.mark.usefixtures("unchecked", "in_a_folder")
def test_fifty_thousand_malformed_calls_are_clear() -> None:
    outcome = run(50_000, seed=1)
    assert_clear(outcome)
    assert outcome.count == 50_000
