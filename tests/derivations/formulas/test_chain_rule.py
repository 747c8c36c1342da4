"""A gradient is derived by the chain rule, which its formula shows before the derivative is inserted."""

import re

import pytest

from scratchformer.derivations import Page, pages
from scratchformer.derivations.formulas.equations import equations

GRADIENT = re.compile(r"(?:\\left\()?\\mathrm\{d\}.*_")
MOVED = {
    "linear": {r"\mathrm{d}x_{ni}"},
    "swiglu": {r"\mathrm{d}h_{r,\, j}", r"\mathrm{d}h_{r,\, H + j}"},
    "positions": {r"\mathrm{d}u_{tn}", r"\mathrm{d}w_{tn}"},
    "multi_head_attention": {
        r"\mathrm{d}O_{hic}",
        r"\mathrm{d}q_{i,\, hn + a}",
        r"\mathrm{d}k_{j,\, gn + a}",
        r"\mathrm{d}v_{j,\, gw + c}",
        r"\mathrm{d}u_{jd}",
        r"\mathrm{d}u_{j,\, Gn + t}",
    },
}
"""Gradients whose elements only go back to the places that they were taken from."""
ADDED = {
    "embedding": {r"\mathrm{d}E_{rj}"},
    "gpt": {r"\mathrm{d}E_{vk}"},
    "attention": {r"\mathrm{d}a_{ij}"},
}
"""Gradients of what is used in several places, one for each use, which are added."""
VARIANTS = {"positions": {r"\mathrm{d}a_{tn}"}, "adam": {r"\mathrm{d}g_i"}}
"""Gradients that are derived above, with one more factor, or for the first step."""
EXCEPTIONS = (MOVED, ADDED, VARIANTS)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_gradient_of_the_backward_pass_shows_its_partial_derivative(page: Page) -> None:
    begin, end = (page.text.count("\n", 0, page.text.index(heading)) for heading in ("\n## Backward\n", "\n## Fused"))
    without = set()
    for fence in page.fences:
        if fence.language == "math" and begin < fence.line < end:
            for equation in equations(fence.code, fence.line):
                left, *members = equation.members
                is_gradient = GRADIENT.match(left) and not re.fullmatch(r"\\mathrm\{d\}\w\^\{\\mathrm\{\w+\}\}", left)
                if is_gradient and not any(r"\partial" in member for member in members):
                    without.add(left)
    assert without == {left for exceptions in EXCEPTIONS for left in exceptions.get(page.name, set())}
