"""The site's files: what they hold, where their links lead, and which folders it is written to."""

import re
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from posixpath import dirname, join, normpath

import pytest

from scratchformer.derivations import CheckResult, Page, pages
from scratchformer.derivations.reader import site
from scratchformer.derivations.reader.documents import site_files
from scratchformer.derivations.reader.site import MANIFEST, write_site
from tests.annotations import unchecked
from tests.derivations.test_rendering import code_lines, text_of

PAGES = pages()
TINY = Page(
    "tiny",
    "Tiny",
    "Is 1 equal to 1?",
    '# Tiny\n\n```python\nfrom scratchformer.derivations import same\n\nsame("one", 1, 1)\n```\n',
)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


class Document(HTMLParser):
    """Every element with its attributes, and the texts of some."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def anchors(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    found: list[list[CheckResult] | str] = [
        [CheckResult("dx", "gradient", 1e-10, True, page.fences[0].line)] for page in PAGES
    ]
    with unchecked():
        return {name: content.decode() for name, content in site_files(PAGES, found).items()}


@pytest.fixture(scope="module")
def documents(files: dict[str, str]) -> dict[str, Document]:
    return {name: Document(html) for name, html in files.items() if name.endswith(".html")}


def test_there_is_one_document_for_each_page_an_index_and_a_style_sheet(files: dict[str, str]) -> None:
    at_the_top = {name for name in files if "/" not in name}
    assert at_the_top == {"index.html", "site.css"} | {f"{page.name}.html" for page in PAGES}


def test_each_document_says_what_it_is(documents: dict[str, Document], files: dict[str, str]) -> None:
    titles = set()
    for name, document in documents.items():
        assert document.all("html") == [{"lang": "en"}]
        assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in document.all("meta")
        assert len(document.all("main")) == 1
        levels = [int(tag[1]) for tag, _ in document.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels)), name
        assert len(document.anchors) == len(set(document.anchors)), name
        assert all(image["alt"] for image in document.all("img")), name
        titles |= set(re.findall("<title>(.+)</title>", files[name]))
    assert len(titles) == len(documents)


def test_links_and_what_is_loaded_are_in_the_site(documents: dict[str, Document], files: dict[str, str]) -> None:
    for name, document in documents.items():
        loaded = [link["href"] for link in document.all("link")] + [image["src"] for image in document.all("img")]
        assert {normpath(join(dirname(name), file)) for file in loaded if not file.startswith("data:")} <= set(files)
        for link in document.all("a"):
            if link["href"].startswith("https://"):
                continue
            address, _, anchor = link["href"].partition("#")
            target = normpath(join(dirname(name), address)) if address else name
            assert target in documents, f"{name} links to {link['href']}"
            assert not anchor or anchor in documents[target].anchors, f"{name} links to {link['href']}"


def test_there_are_no_scripts_and_nothing_comes_from_elsewhere(files: dict[str, str]) -> None:
    for name, content in files.items():
        if name.endswith(".html"):
            assert not re.search(r"<(script|iframe|object|embed|video|audio|base)\b|\son\w+=", content), name
    assert not re.search(r"url\(|@import", files["site.css"])


def test_the_index_and_the_ways_between_pages_are_in_the_order_of_study(documents: dict[str, Document]) -> None:
    order = [f"{page.name}.html" for page in PAGES]
    listed = [link["href"] for link in documents["index.html"].all("a") if link["href"] in order]
    assert listed[: len(order)] == order
    for place, name in enumerate(order):
        links = documents[name].all("a")
        assert links[0]["href"] == "index.html"
        assert {link["href"] for link in links if link.get("rel") == "prev"} == set(order[max(place - 1, 0) : place])
        assert {link["href"] for link in links if link.get("rel") == "next"} == set(order[place + 1 : place + 2])


@each_page
def test_every_formula_is_mathml(page: Page, files: dict[str, str]) -> None:
    formulas = re.findall("<math.*?</math>", files[f"{page.name}.html"], re.DOTALL)
    assert len(formulas) == sum(fence.language == "math" for fence in page.fences)
    for formula in formulas:
        assert "\\" not in formula
        assert "merror" not in formula


@each_page
def test_every_line_of_code_is_at_the_line_of_the_page(page: Page, files: dict[str, str]) -> None:
    expected = {
        number: line
        for fence in page.fences
        if fence.language == "python"
        for number, line in enumerate(fence.code.splitlines(), start=fence.line)
    }
    assert dict(code_lines(files[f"{page.name}.html"])) == expected


@each_page
def test_nothing_of_the_page_is_lost(page: Page, files: dict[str, str]) -> None:
    shown = " ".join(text_of(files[f"{page.name}.html"]).split())
    prose = re.sub(r"^```math.*?^```$", "", page.text, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"!?\[([^\]]*)\]\([^)]*\)|^```\w*|<[^>]*>|^[|\- ]+$", r" \1 ", prose, flags=re.MULTILINE)
    lost = set(re.findall(r"[a-zA-Z]{3,}", prose)) - set(re.findall(r"[a-zA-Z]{3,}", shown))
    assert lost == set()


def test_sources_are_whole(documents: dict[str, Document], files: dict[str, str]) -> None:
    sources = [name for name in documents if name.startswith("source/")]
    assert sources
    for name in sources:
        path = Path(site.__file__).parents[3] / name.removeprefix("source/").removesuffix(".html")
        assert [line for _, line in code_lines(files[name])] == path.read_text(encoding="utf-8").splitlines()


def test_a_site_is_written_with_what_its_pages_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Page("broken", "Broken", "Does it run?", "# Broken\n\n```python\n1 / 0\n```\n")
    monkeypatch.setattr(site, "pages", lambda: [TINY, broken])
    index = write_site(tmp_path / "new" / "site")
    assert index == tmp_path / "new" / "site" / "index.html"
    assert "1 of 1 checks found what they should, and 1 of the pages do not run." in index.read_text()
    assert '<a href="#L6">one</a></td><td>equality</td>' in index.with_name("tiny.html").read_text()
    assert "broken.md, line 4: ZeroDivisionError" in index.with_name("broken.html").read_text()


@pytest.fixture
def quick(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One page is all there is."""
    folder = tmp_path_factory.mktemp("derivations")
    (folder / "README.md").write_text("# Derivations\n")
    (folder / "site.css").write_text("p {}\n")
    monkeypatch.setattr("scratchformer.derivations.reader.documents.FOLDER", folder)
    monkeypatch.setattr(site, "pages", lambda: [TINY])


@pytest.mark.usefixtures("quick")
def test_only_the_files_of_an_earlier_site_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_site(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "index.html").write_text("older")
    (tmp_path / "mine.html").write_text("mine")
    write_site(tmp_path)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before | {tmp_path / "mine.html": b"mine"}
    monkeypatch.setattr(site, "pages", lambda: [Page("other", "Other", "What else?", "# Other\n")])
    write_site(tmp_path)
    assert not (tmp_path / "tiny.html").exists()
    assert "tiny.html" not in (tmp_path / MANIFEST).read_text()
    assert (tmp_path / "other.html").exists()
    assert (tmp_path / "mine.html").exists()


@pytest.mark.usefixtures("quick", "unchecked")
def test_a_file_in_the_way_of_a_new_page_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_site(tmp_path)
    (tmp_path / "other.html").write_text("mine")
    manifest = (tmp_path / MANIFEST).read_text()
    monkeypatch.setattr(site, "pages", lambda: [Page("other", "Other", "What else?", "# Other\n")])
    message = re.escape(f"{tmp_path / 'other.html'} is not a file of the earlier site; move it, or name another folder")
    with pytest.raises(ValueError, match=f"^{message}$"):
        write_site(tmp_path)
    assert (tmp_path / "other.html").read_text() == "mine"
    assert (tmp_path / "tiny.html").exists()
    assert (tmp_path / MANIFEST).read_text() == manifest


@pytest.mark.usefixtures("quick")
def test_nothing_outside_the_folder_is_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    write_site(folder)
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    with (folder / MANIFEST).open("a") as manifest:
        manifest.write(f"../outside.txt\n{outside}\n")
    write_site(folder)
    assert outside.read_text() == "mine"


@pytest.mark.usefixtures("unchecked")
def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    message = (
        f"^{re.escape(str(tmp_path))} holds other files, expected a new or empty folder, or one with an earlier site$"
    )
    with pytest.raises(ValueError, match=message):
        write_site(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    message = f"^{re.escape(str(tmp_path / 'index.html'))} is a file, expected a folder for the site$"
    with pytest.raises(ValueError, match=message):
        write_site(tmp_path / "index.html")
    assert (tmp_path / "index.html").read_text() == "mine"
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"gone is a link that leads nowhere, expected a folder for the site$"):
        write_site(tmp_path / "gone")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("module", "name"), [("markdown_it", "markdown-it-py"), ("math_core", "math-core"), ("pygments", "Pygments")]
)
def test_missing_libraries_are_named(module: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    for ours in ("documents", "rendering"):
        monkeypatch.delitem(sys.modules, f"scratchformer.derivations.reader.{ours}")
    with pytest.raises(ValueError, match=rf"^a site needs {name}: pip install 'scratchformer\[site\]'$"):
        write_site(tmp_path / "site")
    assert not (tmp_path / "site").exists()
