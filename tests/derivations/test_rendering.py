"""Markdown, formulas and code as HTML, and where links lead."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from scratchformer.derivations import CheckResult
from scratchformer.derivations.reader.documents import Links, found_by_checks
from scratchformer.derivations.reader.rendering import render_page, render_source
from tests.derivations.notation import LATEX

SINGLE = ("sqrt", "mathrm", "text", "bar", "hat", "tilde", "overline", "underbrace")
ARGUMENTS = dict.fromkeys(SINGLE, "{ab}") | {"frac": "{a}{b}", "Big": "(", "big": "("}
NOT_ALONE = {"begin", "end", "left", "right"}


def text_of(html: str) -> str:
    return unescape(re.sub("<[^>]*>", "", html))


def code_lines(html: str) -> Iterator[tuple[int, str]]:
    """Number and text of every line of code that can be linked to."""
    for number, line in re.findall(r'<span class="line" id="L(\d+)">(.*?)\n</span>', html):
        yield int(number), text_of(line)


@pytest.mark.parametrize("command", sorted(LATEX - NOT_ALONE))
def test_every_command_of_formulas_is_known(command: str) -> None:
    formula = rf"a \{command}{ARGUMENTS.get(command, '')} b"
    assert "<math" in render_page("x.md", f"```math\n{formula}\n```\n", Links([]).find).html


def test_formulas_look_as_they_are_meant() -> None:
    def mathml(formula: str) -> str:
        return render_page("x.md", f"```math\n{formula}\n```\n", Links([]).find).html

    assert '<mi mathvariant="normal">d</mi>' in mathml(r"\mathrm{d}x")
    assert "<mi>query</mi>" in mathml(r"W_{\mathrm{query}}")
    assert mathml(r"\begin{aligned} a &= b \\ &= c \end{aligned}").count("<mtr>") == 2
    assert mathml(r"\begin{cases} 1 & \text{if } a \\ 0 \end{cases}").count("<mtr>") == 2
    assert mathml(r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}").count("<mtd>") == 4
    assert "<munder>" in mathml(r"\sum_i x_i")
    assert "<mfrac>" in mathml(r"\left. \frac{a}{b} \right|_z")


@pytest.mark.usefixtures("unchecked")
def test_a_formula_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match=r"^x\.md, line 4: a formula cannot be read: .*operatornam"):
        render_page("x.md", "# X\n\n```math\n\\operatornam{x}\n```\n", Links([]).find)


def test_links_lead_to_the_pages_of_the_site_and_to_sources() -> None:
    links = Links(["softmax"])
    assert links.find("softmax.md") == "softmax.html"
    assert links.find("softmax.md#backward") == "softmax.html#backward"
    assert links.find("README.md") == "index.html"
    assert links.find("#backward") == "#backward"
    assert links.find("https://arxiv.org/abs/1706.03762#x") == "https://arxiv.org/abs/1706.03762#x"
    assert links.find("../ops/softmax.py") == "source/scratchformer/ops/softmax.py.html"
    assert links.find("../ops/softmax.py#L10-L20") == "source/scratchformer/ops/softmax.py.html#L10"
    assert links.find("../ops") is None
    assert links.find("../../tests/ops/test_nothing.py") is None
    assert set(links.sources) == {"scratchformer/ops/softmax.py"}


def test_of_links_to_files_that_are_not_there_the_text_is_left() -> None:
    text = "# X\n\n[a *b*](../../tests/no.py) [c](https://x.org) ![d](figures/no.svg)\n"
    html = render_page("x.md", text, Links([]).find).html
    assert html.endswith('<p>a <em>b</em> <a href="https://x.org">c</a> d</p>\n')


def test_headings_have_the_anchors_of_code_hosts() -> None:
    rendered = render_page("x.md", "# X\n\n## What `it` says, & how\n\n### Below\n", Links([]).find)
    assert rendered.headings == [("what-it-says--how", "What <code>it</code> says, &amp; how")]
    assert '<h2 id="what-it-says--how">' in rendered.html
    assert (
        '<a class="anchor" href="#what-it-says--how" aria-label="Link to What it says, &amp; how">#</a>'
        in rendered.html
    )
    assert '<h3 id="below">' in rendered.html


def test_tables_say_which_cells_are_headings() -> None:
    of_columns = render_page("x.md", "| a | b |\n|---|---|\n| 1 | 2 |\n", Links([]).find).html
    assert of_columns.count('<th scope="col">') == 2
    assert of_columns.count("<td>") == 2
    of_rows = render_page("x.md", "| | |\n|---|---|\n| a | 1 |\n| b | 2 |\n", Links([]).find).html
    assert "<thead>" not in of_rows
    assert re.findall(r'<th scope="row">(.)</th>\n<td>(.)</td>', of_rows) == [("a", "1"), ("b", "2")]


def test_an_image_by_itself_is_a_figure_with_a_caption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.svg").write_text("<svg/>")
    monkeypatch.setattr("scratchformer.derivations.reader.documents.FOLDER", tmp_path)
    links = Links([])
    html = render_page("x.md", "![A & b](figures/a.svg)\n", links.find).html
    assert html == ('<figure><img src="figures/a.svg" alt="A &amp; b" /><figcaption>A &amp; b</figcaption></figure>\n')
    assert links.figures == {"figures/a.svg": tmp_path / "figures" / "a.svg"}


def test_files_that_are_no_code_are_shown_as_they_are() -> None:
    assert list(code_lines(render_source("a < b\n\nc\n", "notes.unknown"))) == [(1, "a < b"), (2, ""), (3, "c")]


def test_what_checks_found_is_told() -> None:
    results = [
        CheckResult("dx", "gradient", 2.5e-10, True, 3),
        CheckResult("a < b", "same", 0.0, True, 4),
        CheckResult("rows", "zero", 1.0, False, 5),
        CheckResult("halved", "mistake", 0.5, True, 6),
    ]
    html = found_by_checks(results)
    assert "3 of 4 checks found what they should" in html
    rows = [re.findall("<td[^>]*>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", html)[1:]]
    assert rows == [
        ['<a href="#L3">dx</a>', "numerical derivative", "2.5e-10", "right"],
        ['<a href="#L4">a &lt; b</a>', "equality", "0", "right"],
        ['<a href="#L5">rows</a>', "is zero", "1.0e+00", "wrong"],
        ['<a href="#L6">halved</a>', "wrong on purpose", "5.0e-01", "off as stated"],
    ]
    assert "x.md, line 3: KeyError: &lt;a&gt;" in found_by_checks("x.md, line 3: KeyError: <a>")
