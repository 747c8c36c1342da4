"""Without any one term of its code or its formulas, a page is wrong, and says so at its line or at its formula."""

from collections.abc import Callable, Iterator

import pytest

from scratchformer.derivations import Page, find_page, pages
from tests.derivations.deletions import Deletion, code_deletions, latex_deletions, verdict_of

NAMES = [page.name for page in pages()]
OF_ZERO = {
    "softmax: -ds.sum(axis=-1, keepdims=True) -> (ds.sum(axis=-1, keepdims=True))",
    r"softmax: + \mathrm{d}\mathrm{shift}\, \frac{\partial \mathrm{shift}}{\partial x_i} -> ",
    "cross_entropy: -ds.sum(axis=-1, keepdims=True) -> (ds.sum(axis=-1, keepdims=True))",
    r"cross_entropy: + \mathrm{d}\mathrm{shift}_n \frac{\partial \mathrm{shift}_n}{\partial x_{nc}} -> ",
    r"gelu: + \mathrm{d}\mathrm{positive}_i \frac{\partial \mathrm{positive}_i}{\partial x_i} -> ",
    r"layer_norm: - \frac{2\, \mathrm{d}\mathrm{variance}}{D} \sum_i \mathrm{centred}_i -> ",
    r"sgd: + \mathrm{move} -> ",
}
"""Terms that are 0, as the page proves; for `move` of SGD, the number at which the derivative is taken."""
STILL_TRUE = {
    "blockwise_attention: -1 -> ",
    r"clipping: - \hat{c}_i -> ",
    "clipping: c_i -> ",
    "clipping: 0.9 * max_norm -> (0.9)",
    "clipping: 0.9 * max_norm -> ((max_norm))",
    r"multi_head_attention: + \mathrm{group} -> ",
    r"multi_head_attention: g\, \mathrm{group} + -> ",
}
"""What is as true without them.

The largest score of the tiles so far is at least that of the tiles before. An inequality with a smaller left side, or
of a shorter vector. Other sums that are 0.
"""
NEXT_LINE = {
    "adam: np.abs(g) + eps -> (np.abs(g))",
    "adam: np.abs(g) + eps -> ((eps))",
    "adam: (1 - b1) * b1 ** np.arange(3, -1, -1.0) -> (1 - b1)",
    "adam: (1 - b2) * b2 ** np.arange(3, -1, -1.0) -> (1 - b2)",
    "clipping: norm / max_norm - 1 -> (-(1))",
    "clipping: 0.9 * max_norm / np.linalg.norm(other) -> (0.9 * max_norm)",
    "clipping: max_norm / np.linalg.norm(others, axis=-1, keepdims=True) -> (max_norm)",
}
"""What the line below says, which cannot be run without them or compares them."""
KNOWN = OF_ZERO | STILL_TRUE | NEXT_LINE


def unexpected(deletions: list[Deletion]) -> list[str]:
    """What is not noticed at its line, although it is not known, or is known and occurs once more."""
    known, found = set(KNOWN), []
    for deletion in deletions:
        verdict = verdict_of(deletion)
        if verdict != "at its line" and deletion.what not in known:
            found.append(f"{deletion.what}: {verdict}")
        elif verdict != "at its line":
            known.remove(deletion.what)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_few_deletions_are_noticed_where_they_are(name: str) -> None:
    page = find_page(name)
    assert unexpected([next(code_deletions(page)), list(latex_deletions(page))[-1]]) == []


@pytest.mark.long
@pytest.mark.parametrize("find", [code_deletions, latex_deletions])
@pytest.mark.parametrize("name", NAMES)
def test_every_deletion_is_noticed_where_it_is(name: str, find: Callable[[Page], Iterator[Deletion]]) -> None:
    assert unexpected(list(find(find_page(name)))) == []
