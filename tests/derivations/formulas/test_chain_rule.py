"""A gradient is derived by the chain rule, which its formula shows before the derivative is inserted."""

import re

import pytest

from scratchformer.derivations import Page, pages
from scratchformer.derivations.formulas.equations import equations

GRADIENT = re.compile(r"(?:\\left\()?\\mathrm\{d\}.*_")
MOVED = {
    "linear": {r"\mathrm{d}x_{ni}"},
    "swiglu": {r"\mathrm{d}\mathrm{both}_{n,\, j}", r"\mathrm{d}\mathrm{both}_{n,\, d_{\mathrm{hidden}} + j}"},
    "positions": {r"\mathrm{d}u_{tn}", r"\mathrm{d}w_{tn}"},
    "multi_head_attention": {
        r"\mathrm{d}O_{hic}",
        r"\mathrm{d}\mathrm{query}_{i,\, h\, d_{\mathrm{key}} + a}",
        r"\mathrm{d}\mathrm{key}_{j,\, g\, d_{\mathrm{key}} + a}",
        r"\mathrm{d}\mathrm{value}_{j,\, g\, d_{\mathrm{value}} + c}",
        r"\mathrm{d}\mathrm{kv}_{jd}",
        r"\mathrm{d}\mathrm{kv}_{j,\, G\, d_{\mathrm{key}} + t}",
    },
}
"""Gradients whose elements only go back to the places that they were taken from."""
ADDED = {
    "embedding": {r"\mathrm{d}E_{rj}"},
    "gpt": {r"\mathrm{d}E_{vk}"},
    "attention": {r"\mathrm{d}\mathrm{bias}_{ij}"},
}
"""Gradients of what is used in several places, one for each use, which are added."""
VARIANTS = {"positions": {r"\mathrm{d}\alpha_{tn}"}, "adam": {r"\mathrm{d}g_i"}}
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
