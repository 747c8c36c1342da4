"""Without a term, a page fails, and says so at the line that lacks it."""

from dataclasses import replace

import pytest

from scratchformer.derivations import describe_wrong, find_page, pages, run_page
from tests.annotations import unchecked

TERMS = {
    "linear": ("dW = r.T @ du", "dW = r.T @ du / len(r)"),
    "mean_squared_error": ("de = ds * e + ds * e", "de = ds * e"),
    "embedding": ("dE = dE_lookup + dE_head", "dE = dE_lookup"),
    "cross_entropy": ("dz = dy + de * e", "dz = dy"),
    "layer_norm": ("dc = dz * q + dv * 2 * c / n", "dc = dz * q"),
    "rms_norm": ("dx = dz * q + dm * 2 * x / n", "dx = dz * q"),
    "dropout": ("dx = dv * k", "dx = dv"),
    "positions": ("da = du * cos + dw * sin", "da = du * cos"),
    "attention": ("dE = dP / z + dz", "dE = dP / z"),
    "blockwise_attention": ("dz = -np.vecdot(dO, Y)[..., None]", "dz = -np.vecdot(dY, Y)[..., None]"),
    "multi_head_attention": ("dm = dk @ W_key.T + dv @ W_value.T", "dm = dk @ W_key.T"),
    "block": ("dh = dy + dh_through_branch", "dh = dh_through_branch"),
    "gpt": ("dtable = dhead + dread", "dtable = dhead"),
    "sgd": ("da_s = -np.outer(reach, dp)", "da_s = -np.outer(rates, dp)"),
    "adam": ("dg = (1 - b1) * dm + 2 * (1 - b2) * g * dv", "dg = (1 - b1) * dm"),
    "clipping": ("dg = f * dc + 2 * g * dz", "dg = f * dc"),
    "gradient_checking": ("f3 = 2 * np.exp(x) * (np.cos(x) - np.sin(x))", "f3 = 2 * np.exp(x) * np.cos(x)"),
    "gelu": ("dx = dy * p + du / np.sqrt(2)", "dx = dy * p"),
    "swiglu": ("dg = da * s + ds * s * (1 - s)", "dg = da * s"),
    "softmax": ("de = dy / z + dz", "de = dy / z"),
}


def test_each_page_is_mutated() -> None:
    assert TERMS.keys() == {page.name for page in pages()}


@pytest.mark.parametrize("name", TERMS)
def test_a_page_without_a_term_fails_at_its_line(name: str) -> None:
    page, (whole, without) = find_page(name), TERMS[name]
    assert page.text.count(whole) == 1
    line = page.text[: page.text.index(whole)].count("\n") + 1
    mutated = replace(page, text=page.text.replace(whole, without))
    with unchecked():
        wrong = [result for result in run_page(mutated) if not result.is_right]
    assert wrong, "it is still right"
    assert describe_wrong(mutated, wrong[0]).startswith(f"{name}.md, line {line}: ")
