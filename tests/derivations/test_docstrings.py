"""Every op leads to its page, and says the formula that the page ends with."""

import inspect
import re
from pathlib import Path

import pytest

import scratchformer.ops
from scratchformer import gradcheck, layers, models, optim
from scratchformer.derivations import pages
from scratchformer.derivations.reader.pages import FOLDER
from scratchformer.training import Trainer
from scratchformer.training.world import World

PAGES = {page.name: page for page in pages()}
OPS = [getattr(scratchformer.ops, name) for name in scratchformer.ops.__all__ if name not in ("Backward", "op")]
WITHOUT_BACKWARD = [
    *(scratchformer.ops.causal_mask, scratchformer.ops.sliding_window_mask, scratchformer.ops.padding_mask),
    *(scratchformer.ops.packed_mask, scratchformer.ops.combine_masks),
    *(scratchformer.ops.alibi_bias, scratchformer.ops.relative_buckets, scratchformer.ops.sinusoidal_positions),
    *(scratchformer.ops.llama3_frequencies, scratchformer.ops.yarn_frequencies, scratchformer.ops.yarn_magnitude),
]
NOT_DERIVED = {  # no gradient of their own, or that of what they are made of
    *("AttentionConfig", "BlockConfig", "KeyValueCache", "Layer", "NO_TRACE", "Parameter", "Trace"),
}
LAYERS = [getattr(layers, name) for name in layers.__all__ if name not in NOT_DERIVED]
OTHERS = [
    *(getattr(optim, name) for name in ("SGD", "Adam", "AdamW", "Muon", "clip_global_norm", "global_norm")),
    *(gradcheck.check_op, gradcheck.check_layer, gradcheck.check_gradient),
    *(models.GPT, Trainer, World),
]


def page_of(thing: object) -> str:
    return re.findall(r"Derivation: `python -m scratchformer derive (\w+)`\.", inspect.getdoc(thing) or "")[0]


@pytest.mark.parametrize("thing", [*OPS, *LAYERS, *OTHERS], ids=lambda thing: thing.__name__)
def test_a_docstring_names_a_page_that_names_it(thing: type) -> None:
    assert re.search(rf"\b{thing.__name__}\b", PAGES[page_of(thing)].text)


@pytest.mark.parametrize("op", [op for op in OPS if op not in WITHOUT_BACKWARD], ids=lambda op: op.__name__)
def test_the_docstring_of_an_op_carries_the_formula_of_its_gradient(op: type) -> None:
    assert re.search(r"\bd[a-zA-Z_]+ = .*\bd[yYzPS]|dloss", inspect.getdoc(op) or "")


def test_the_table_of_all_derivatives_holds_the_formulas_of_the_docstrings() -> None:
    table = (FOLDER / "README.md").read_text(encoding="utf-8").partition("## Every derivative")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \| \[.+\]\((\w+)\.md\) \|$", table, re.MULTILINE)
    assert {name for name, *_ in rows} == {op.__name__ for op in OPS if op not in WITHOUT_BACKWARD}
    for name, forward, backward, page in rows:
        op = getattr(scratchformer.ops, name)
        docstring = " ".join((inspect.getdoc(op) or "").split())
        assert [formula for formula in re.findall(r"`([^`]+)`", forward + backward) if formula not in docstring] == []
        assert set(re.findall(r"\bd\w+ = ", docstring)) <= set(re.findall(r"\bd\w+ = ", backward))
        assert page == page_of(op)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_led_to_from_the_code(name: str) -> None:
    package = Path(scratchformer.__file__).parent
    sources = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    assert f"derive {name}`" in sources
