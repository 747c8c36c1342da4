"""The site as a browser shows it: wide and on a phone, light and dark."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scratchformer.derivations import CheckResult, pages
from scratchformer.derivations.reader.documents import site_files
from tests.annotations import unchecked
from tests.derivations.browser import PROGRAM, Tab, open_tab

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium or Chrome, such as apt-get install chromium")
PAGES = pages()
PHONE, DESK = 390, 1280
QUICK = ("index", "attention", "blockwise_attention", "gradient_checking")
"""Documents with all that the others have: a table of pages, maps, long formulas, plots. The others are long tests."""
each_document = pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.long)
        for name in ("index", *(page.name for page in PAGES))
    ],
)

# Elements whose own text is drawn, with the contrast of its colour to what is behind it (WCAG 2.1, "contrast ratio").
FAINT = """
(() => {
  const channels = (color) => {
    const found = color.match(/[\\d.]+/g).map(Number);
    return {parts: found.slice(0, 3), alpha: found.length > 3 ? found[3] : 1};
  };
  const luminance = (color) => {
    const [r, g, b] = channels(color).parts
      .map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    while (element && channels(getComputedStyle(element).backgroundColor).alpha === 0) element = element.parentElement;
    return getComputedStyle(element || document.documentElement).backgroundColor;
  };
  const faint = [];
  for (const element of document.body.querySelectorAll("*")) {
    const draws = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!draws && !element.matches(".number")) continue;
    const color = getComputedStyle(element).color;
    const [darker, lighter] = [luminance(color), luminance(behind(element))].sort((a, b) => a - b);
    const contrast = (lighter + 0.05) / (darker + 0.05);
    if (contrast < 4.5) faint.push(`${element.tagName}.${element.className} ${element.textContent}: ${contrast}`);
  }
  return faint;
})()
"""
WITHOUT_SIZE = """
[...document.querySelectorAll("math, math mi, math mo:not(:empty), math mn, img")]
  .filter((element) => !/^[\\u2061-\\u2064]?$/.test(element.textContent) || element.matches("math, img"))
  .filter((element) => !element.closest("details:not([open])"))
  .filter((element) => !(element.getBoundingClientRect().width > 0 && element.getBoundingClientRect().height > 0))
  .map((element) => element.outerHTML)
"""
CUT_OFF = """
[...document.querySelectorAll(".formula, .table, pre")]
  .filter((element) => element.scrollHeight > element.clientHeight + 1)
  .map((element) => `${element.textContent}: ${element.scrollHeight} > ${element.clientHeight}`)
"""
SIDEWAYS = """
[...document.querySelectorAll("body, body *")]
  .filter((element) => !element.closest(".formula *, .table *, pre *"))
  .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
  .map((element) => `${element.tagName} ${element.textContent.slice(0, 80)}`)
"""
COLOURS = "[getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(document.body).color]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site in which one check of each page is wrong."""
    folder = tmp_path_factory.mktemp("site")
    found: list[list[CheckResult] | str] = []
    for page in PAGES:
        lines = [fence.line for fence in page.fences if fence.language == "python"]
        right = CheckResult("dx", "gradient", 1e-10, True, lines[-1])
        found.append([right, CheckResult("dy", "same", 0.5, False, lines[0])])
    with unchecked():
        files = site_files(PAGES, found)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with open_tab(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def tab(browser: Tab) -> Tab:
    browser.resize(DESK)
    browser.prefer("light")
    return browser


@each_document
def test_it_is_shown_as_it_is_meant(name: str, tab: Tab, folder: Path) -> None:
    tab.open(f"{(folder / name).as_uri()}.html")
    assert tab.errors == []
    assert f"{folder.as_uri()}/site.css" in tab.requests
    assert [url for url in tab.requests if not url.startswith((f"{folder.as_uri()}/", "data:"))] == []
    assert [link for link in tab.run("[...document.links].map((link) => link.href)") if not _arrives(link)] == []

    tab.run("document.querySelectorAll('details').forEach((details) => { details.open = true })")
    assert tab.run("document.querySelectorAll('math').length") > 0 or name == "index"
    assert tab.run(WITHOUT_SIZE) == []
    for width in (320, PHONE, 768, DESK):
        tab.resize(width)
        assert tab.run("innerWidth") == width
        assert tab.run("document.scrollingElement.scrollWidth <= innerWidth")
        assert tab.run(SIDEWAYS) == []
        assert tab.run(CUT_OFF) == []

    tab.run("location.hash = '#' + (document.querySelector('.line')?.id ?? '')")
    assert tab.run("document.querySelectorAll('.line:target').length") == (name != "index")
    assert tab.run(FAINT) == []
    light = tab.run(COLOURS)
    tab.prefer("dark")
    assert tab.run(FAINT) == []
    dark = tab.run(COLOURS)
    assert _brightness(light[0]) > 200 > 100 > _brightness(light[1])
    assert _brightness(dark[0]) < 100 < 200 < _brightness(dark[1])


def _arrives(link: str) -> bool:
    """Whether the address, as the browser completes it, is that of a file and of a place in it."""
    address, _, anchor = link.partition("#")
    path = Path(address.removeprefix("file://"))
    is_there = path.is_file() and (not anchor or f'id="{anchor}"' in path.read_text(encoding="utf-8"))
    return link.startswith("https://") or is_there


def _brightness(colour: str) -> float:
    return sum(map(float, colour.removeprefix("rgb(").removesuffix(")").split(","))) / 3


def test_figures_are_on_white_in_both_schemes(tab: Tab, folder: Path) -> None:
    name = next(page.name for page in PAGES if "](figures/" in page.text)
    tab.open(f"{(folder / name).as_uri()}.html")
    for scheme in ("light", "dark"):
        tab.prefer(scheme)
        assert tab.run("getComputedStyle(document.querySelector('figure img')).backgroundColor") == "rgb(255, 255, 255)"


def test_lines_of_text_are_of_a_comfortable_length(tab: Tab, folder: Path) -> None:
    tab.resize(1920)
    tab.open(f"{(folder / PAGES[0].name).as_uri()}.html")
    longest = (
        "Math.max(...[...document.querySelectorAll('main > p')].map((text) => text.getBoundingClientRect().width))"
    )
    letter = "parseFloat(getComputedStyle(document.querySelector('main > p')).fontSize) / 2"
    assert 55 < tab.run(longest) / tab.run(letter) < 85


def test_the_way_from_page_to_page_is_the_order_of_study(tab: Tab, folder: Path) -> None:
    tab.open((folder / "index.html").as_uri())
    tab.click("main li a")
    titles = [tab.run("document.querySelector('h1').textContent")]
    for _ in PAGES[1:]:
        tab.click("header [rel=next]")
        titles.append(tab.run("document.querySelector('h1').textContent"))
    assert titles == [page.title for page in PAGES]
    tab.click("header a")
    assert tab.run("location.pathname").endswith("/index.html")


def test_from_a_page_to_its_source_and_back(tab: Tab, folder: Path) -> None:
    tab.open(f"{(folder / 'softmax').as_uri()}.html")
    tab.click("main a[href*='ops/softmax.py']")
    assert tab.run("document.querySelector('h1').textContent") == "scratchformer/ops/softmax.py"
    assert tab.errors == []
    tab.click("main a[href$='/softmax.html']")
    assert tab.run("document.querySelector('h1').textContent") == "Softmax"


def test_sources_fit_a_phone_and_stand_out_in_both_schemes(tab: Tab, folder: Path) -> None:
    tab.resize(PHONE)
    path = folder / "source" / "scratchformer" / "ops" / "softmax.py.html"
    tab.open(f"{path.as_uri()}#L1")
    assert tab.run("document.scrollingElement.scrollWidth <= innerWidth")
    assert tab.run(SIDEWAYS) == []
    assert tab.run(FAINT) == []
    tab.prefer("dark")
    assert tab.run(FAINT) == []


def test_a_link_to_a_line_opens_the_answer_that_it_is_in(tab: Tab, folder: Path) -> None:
    tab.open(f"{(folder / 'softmax').as_uri()}.html")
    inside = "[...document.querySelectorAll('details .line')].at(-1)"
    assert not tab.run(f"{inside}.checkVisibility()")
    tab.run(f"location.hash = '#' + {inside}.id")
    assert tab.run(f"{inside}.checkVisibility()")


def test_answers_open_and_close(tab: Tab, folder: Path) -> None:
    tab.open(f"{(folder / 'softmax').as_uri()}.html")
    answer = "document.querySelector('details p')"
    assert tab.run(
        f"[{answer}.checkVisibility(), document.querySelector('summary').click(), {answer}.checkVisibility()]"
    ) == [
        False,
        None,
        True,
    ]
