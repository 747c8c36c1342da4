"""Everything on every page is right, and nearly all formulas are evaluated; what is not is counted, with its reason."""

import pytest

from scratchformer.derivations import Page, describe_wrong, pages
from scratchformer.derivations.reader.notes import notes_of
from scratchformer.derivations.reader.running import run_with_formulas
from tests.annotations import unchecked

MEMBERS: dict[str, tuple[int, int]] = {
    "chain_rule": (50, 50),
    "linear": (26, 26),
    "mean_squared_error": (20, 20),
    "gelu": (52, 52),
    "swiglu": (48, 48),
    "softmax": (31, 31),
    "cross_entropy": (41, 41),
    "embedding": (24, 24),
    "layer_norm": (35, 35),
    "rms_norm": (27, 27),
    "dropout": (13, 19),
    "positions": (51, 53),
    "attention": (51, 57),
    "multi_head_attention": (75, 75),
    "blockwise_attention": (45, 45),
    "block": (40, 40),
    "gpt": (22, 22),
    "sgd": (32, 32),
    "adam": (27, 31),
    "muon": (43, 43),
    "clipping": (28, 28),
    "many_workers": (38, 38),
    "gradient_checking": (16, 23),
}
"""How many members of its formulas a page evaluates, and how many it has."""


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_everything_on_it_is_right(page: Page) -> None:
    with unchecked():
        run = run_with_formulas(page)
    assert [describe_wrong(page, result) for result in run.results if not result.is_right] == []
    claims = [result.claim for result in run.results]
    assert claims.count("gradient") >= 2
    assert {"same", "mistake"} <= set(claims)

    marked = [member for member in run.members if member.is_marked]
    assert (len(run.members) - len(marked), len(run.members)) == MEMBERS[page.name]
    assert all(member.is_right for member in run.members if not member.is_marked)
    assert all(member.reason for member in marked)
    notes = notes_of(page, run.results)
    assert notes.keys() == {fence.line for fence in page.fences if fence.language == "math"}
    assert all("evaluated" in note for note in notes.values())


def test_at_most_five_percent_of_all_members_are_not_evaluated() -> None:
    evaluated, every = (sum(counts) for counts in zip(*MEMBERS.values(), strict=True))
    assert every >= 857, "count here what is deleted"
    assert evaluated >= 0.95 * every
