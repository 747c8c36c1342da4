"""The files of the site: pages, an index, the sources that they link to, figures and the style sheet."""

import platform
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from posixpath import normpath

import numpy as np

import scratchformer
from scratchformer.derivations.reader.checking import CheckResult
from scratchformer.derivations.reader.notes import notes_of
from scratchformer.derivations.reader.pages import FOLDER, Page
from scratchformer.derivations.reader.rendering import anchored, render_page, render_source
from scratchformer.derivations.reader.running import Outcome

STYLE = "site.css"
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ctext x='3' y='14' "
    "font-size='16' fill='%23888'%3E%E2%88%82%3C/text%3E%3C/svg%3E"
)
INDEX, FOUND = "Derivations that run", "What the checks found"


class Links:
    """Finds where the links of a page lead in the site, and collects the figures and sources that they lead to.

    Args:
        names: of all pages.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.pages = {f"{name}.md": f"{name}.html" for name in names} | {"README.md": "index.html"}
        self.figures: dict[str, Path] = {}
        self.sources: dict[str, Path] = {}

    def find(self, target: str) -> str | None:
        """The address as seen from a page; None for a missing file: an installed package has no tests."""
        address, hash_sign, fragment = target.partition("#")
        if target.startswith("https://") or not address:
            return target
        if address in self.pages:
            return self.pages[address] + hash_sign + fragment
        path = FOLDER / address
        if not path.is_file():
            return None
        if path.suffix == ".svg":
            self.figures[address] = path
            return address
        name = normpath(f"scratchformer/derivations/{address}")
        self.sources[name] = path
        return source_address(name) + hash_sign + fragment.split("-")[0]  # only code hosts know anchors such as L10-L20


def source_address(name: str) -> str:
    return f"source/{name}.html"


def site_files(all_pages: Sequence[Page], found: Sequence[Outcome]) -> dict[str, bytes]:
    """The content of every file of the site, by its path in it.

    Args:
        all_pages: in the order of study.
        found: the outcome of each.
    """
    names = [page.name for page in all_pages]
    texts: dict[str, str] = {}
    copied: dict[str, bytes] = {STYLE: Path(__file__).with_name(STYLE).read_bytes()}
    sources: dict[str, Path] = {}
    mentions: dict[str, list[tuple[str, str]]] = {}
    for place in [None, *range(len(all_pages))]:
        links = Links(names)
        if place is None:
            name, title = "index.html", INDEX
            texts[name] = index_document(found, links)
        else:
            name, title = f"{names[place]}.html", all_pages[place].title
            texts[name] = page_document(all_pages, place, found[place], links)
        copied |= {address: path.read_bytes() for address, path in links.figures.items()}
        sources |= links.sources
        for source in links.sources:
            mentions.setdefault(source, []).append((name, title))
    for source, path in sources.items():
        texts[source_address(source)] = source_document(source, path.read_text(encoding="utf-8"), mentions[source])
    return {name: text.encode() for name, text in texts.items()} | copied


def page_document(all_pages: Sequence[Page], place: int, found: Outcome, links: Links) -> str:
    """A derivation with its headings beside it, the results of its checks below it, and links to its neighbours."""
    page = all_pages[place]
    notes = {} if isinstance(found, str) else notes_of(page, found)
    rendered = render_page(page.path.name, page.text, links.find, notes)
    found_anchor, found_heading = anchored(FOUND)
    headings = [*rendered.headings, (found_anchor, FOUND)]
    items = "".join(f'<li><a href="#{anchor}">{text}</a></li>' for anchor, text in headings)
    around = ""
    if place > 0:
        before = all_pages[place - 1]
        around += f'<a rel="prev" href="{before.name}.html">{escape(before.title)}</a>'
    if place + 1 < len(all_pages):
        after = all_pages[place + 1]
        around += f'<a rel="next" href="{after.name}.html">{escape(after.title)}</a>'
    return document(
        title=page.title,
        description=page.summary,
        navigation=f'<a href="index.html">Derivations</a> {around}',
        main=f'<nav class="contents" aria-label="On this page"><ol>{items}</ol></nav>\n'
        f'<main>\n{rendered.html}<h2 id="{found_anchor}">{found_heading}</h2>\n{found_by_checks(found)}</main>',
        footer=f'<nav aria-label="Order of study">{around}</nav>',
    )


def index_document(found: Sequence[Outcome], links: Links) -> str:
    """README.md, with the list of all pages, and how many checks of all pages are right."""
    results = [result for of_page in found if not isinstance(of_page, str) for result in of_page]
    broken = sum(isinstance(of_page, str) for of_page in found)
    summary = f"{count_right(results)}{f', and {broken} of the pages do not run' if broken else ''}."
    rendered = render_page("README.md", (FOLDER / "README.md").read_text(encoding="utf-8"), links.find)
    return document(
        title=INDEX,
        description="How every gradient of a Transformer is derived, on pages that run.",
        navigation='<a href="index.html" aria-current="page">Derivations</a>',
        main=f"<main>\n{rendered.html}<p>{summary}</p>\n</main>",
        footer=f"<p>Written by scratchformer {scratchformer.__version__}, with what was found under Python "
        f"{platform.python_version()} and NumPy {np.__version__}.</p>",
    )


def source_document(name: str, code: str, mentions: Sequence[tuple[str, str]]) -> str:
    """A source file, line by line, with links to the pages that name it: `mentions`, addresses and titles."""
    root = "../" * source_address(name).count("/")
    pages = ", ".join(f'<a href="{root}{address}">{escape(title)}</a>' for address, title in mentions)
    return document(
        title=name,
        description=f"The source of {name}.",
        navigation=f'<a href="{root}index.html">Derivations</a>',
        main=f'<main class="source">\n<h1>{escape(name)}</h1>\n<p>Named in: {pages}</p>\n'
        f"{render_source(code, name)}</main>",
        root=root,
    )


def found_by_checks(found: Outcome) -> str:
    """The table of checks: what was checked and how, the error, the verdict. Or why the page does not run."""
    if isinstance(found, str):
        return f'<p class="wrong">The page does not run: {escape(found)}</p>\n'
    rows = []
    for result in found:
        error = f"{result.error:.1e}" if result.error else "0"
        rows.append(
            f'<tr><td><a href="#L{result.line}">{escape(result.name)}</a></td><td>{result.how}</td>'
            f'<td class="number">{error}</td><td class="{result.verdict.split()[0]}">{result.verdict}</td></tr>'
        )
    head = "".join(f'<th scope="col">{cell}</th>' for cell in ("checked", "how", "error", "verdict"))
    return (
        f"<p>{count_right(found)}.</p>\n"
        f'<div class="table"><table><thead><tr>{head}</tr></thead>\n<tbody>{"".join(rows)}</tbody></table></div>\n'
    )


def count_right(results: Sequence[CheckResult]) -> str:
    right = sum(result.is_right for result in results)
    return f"When this site was written, {right} of {len(results)} checks found what they should"


def document(title: str, description: str, navigation: str, main: str, footer: str = "", root: str = "") -> str:
    """A whole HTML document; `root` is the path from its folder to the site's."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="{escape(description)}">
<title>{escape(title)} - scratchformer</title>
<link rel="icon" href="{ICON}">
<link rel="stylesheet" href="{root}{STYLE}">
</head>
<body>
<header><nav aria-label="Derivations">{navigation}</nav></header>
{main}
<footer>{footer}</footer>
</body>
</html>
"""
