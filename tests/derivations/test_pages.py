"""Every page has the one shape, and says nothing that a code host would not show."""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scratchformer import derivations, gradcheck, layers, models, ops, optim
from scratchformer.derivations import Page, pages
from scratchformer.derivations.reader.pages import FOLDER
from tests.derivations.notation import LATEX, WORDS, names_in_formula, names_in_table

PAGES = pages()
ROOMS = (ops, layers, models, optim, gradcheck, derivations, np, builtins)
HEADINGS = [
    "Contract",
    "Conventions",
    "Forward",
    "Graph",
    "Backward",
    "Fused form",
    "What it says",
    "Cost and memory",
    "Numerics",
    "Wrong on purpose",
    "Exercises",
]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@each_page
def test_it_has_the_one_shape(page: Page) -> None:
    assert page.text.startswith(f"# {page.title}\n")
    assert re.findall(r"^## (.+)$", page.text, re.MULTILINE) == HEADINGS
    sections = dict(zip(HEADINGS, re.split(r"^## .+$", page.text, flags=re.MULTILINE)[1:], strict=True))
    assert "check(" in sections["Backward"]
    assert "same(" in sections["Fused form"]
    assert "kept_bytes(" in sections["Cost and memory"]
    assert "```python" in sections["Numerics"]
    assert "mistake(" in sections["Wrong on purpose"]
    assert "<details>" in sections["Exercises"]
    assert "```text" in sections["Graph"]


@each_page
def test_every_symbol_of_a_formula_is_in_the_table_of_conventions(page: Page) -> None:
    table = re.split(r"^## .+$", page.text, flags=re.MULTILINE)[2]
    defined = names_in_table(table) | WORDS
    for fence in page.fences:
        if fence.language == "math":
            unknown = names_in_formula(fence.code) - defined
            assert not unknown, f"{page.name}.md, line {fence.line}: {sorted(unknown)} defined nowhere"


PARTS = {
    "multi_head_attention": {"dshared_K"},
    "block": {"dmiddle_through_branch", "dx_through_branch"},
    "gpt": {"dhead_transposed", "dkey", "dvalue", "du_query", "du_key_value", "dbranch", "dstreams", "dmiddles"},
}
"""Gradients that the next line adds to others, puts beside others or transposes; lists of gradients."""


@each_page
def test_every_gradient_of_the_backward_pass_is_checked(page: Page) -> None:
    begin, end = (page.text.count("\n", 0, page.text.index(heading)) for heading in ("\n## Backward\n", "\n## Fused"))
    assigned, checked = set(), set()
    for fence in page.fences:
        if fence.language == "python" and begin < fence.line < end:
            for node in ast.walk(ast.parse(fence.code)):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and re.match("d[a-zA-Z]", node.id):
                    assigned.add(node.id)
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("check", "vanishes", "same"):
                    checked |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    assert assigned - checked - inside_functions(page) == PARTS.get(page.name, set())


def inside_functions(page: Page) -> set[str]:
    """Names that only functions of a page assign."""
    trees = [ast.parse(fence.code) for fence in page.fences if fence.language == "python"]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    within = {id(name) for function in functions for name in ast.walk(function)}
    stored = [
        name
        for tree in trees
        for name in ast.walk(tree)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
    ]
    return {name.id for name in stored if id(name) in within} - {name.id for name in stored if id(name) not in within}


@each_page
def test_formulas_are_written_as_code_hosts_render_them(page: Page) -> None:
    assert "$" not in re.sub(r"`[^`]*`", "", without_fences(page.text)), (
        "inline mathematics is parsed as Markdown first"
    )
    for fence in page.fences:
        assert fence.language in ("python", "math", "text", "sh"), f"{page.name}.md, line {fence.line}"
        if fence.language == "math":
            commands = set(re.findall(r"\\([a-zA-Z]+)", fence.code))
            assert commands <= LATEX, f"{page.name}.md, line {fence.line}: {sorted(commands - LATEX)}"


@each_page
def test_functions_that_it_names_exist(page: Page) -> None:
    """In the library, NumPy, Python, or the code and the symbols of the page."""
    code = "".join(fence.code for fence in page.fences if fence.language == "python")
    known = {name for room in ROOMS for name in dir(room)} | set(re.findall(r"\w+", code))
    known |= names_in_table(re.split(r"^## .+$", page.text, flags=re.MULTILINE)[2])
    called = {
        name
        for inline in re.findall(r"`([^`]+)`", without_fences(page.text))
        for name in re.findall(r"(?<![\w.])([A-Za-z]\w*)\(", inline)
    }
    assert {name for name in called if name.partition("_")[0] not in known and name not in known} == set()


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def links(text: str) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_fences(text)):
        if not target.startswith("https://"):
            yield target


@pytest.mark.parametrize("path", [*(page.path for page in PAGES), FOLDER / "README.md"], ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    dead = [target for target in links(path.read_text(encoding="utf-8")) if not (FOLDER / target).is_file()]
    assert dead == []


def test_every_page_and_every_figure_has_its_place() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == {page.name for page in PAGES} | {"README"}
    shown = {target for page in PAGES for target in links(page.text) if target.startswith("figures/")}
    assert shown == {f"figures/{path.name}" for path in (FOLDER / "figures").iterdir()}
