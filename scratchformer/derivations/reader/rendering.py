"""Markdown and code as HTML: formulas become MathML, code is highlighted, and every line of code has an anchor."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape, unescape
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from math_core import LatexError, LatexToMathML
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_by_name, get_lexer_for_filename
from pygments.util import ClassNotFound

MATHML = LatexToMathML(fancy_error=False)


@dataclass(frozen=True)
class Rendered:
    """The HTML of a page, and the anchors and texts (as HTML) of its headings of the second level."""

    html: str
    headings: list[tuple[str, str]]


def render_page(
    name: str, text: str, find_target: Callable[[str], str | None], notes: Mapping[int, str] | None = None
) -> Rendered:
    """Renders Markdown as code hosts do, with `math` fences as display formulas.

    Args:
        name: of the page, for errors.
        text: the Markdown.
        find_target: gives the address that a link or image has in the rendered page; for None, the link becomes plain
            text.
        notes: beside formulas, by the first line of what is in their fence.

    Raises ValueError when a formula cannot be read; the message names the line.
    """
    markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
    markdown.add_render_rule("fence", _fence)
    markdown.add_render_rule("table_open", _table_open)
    markdown.add_render_rule("table_close", _table_close)
    tokens = markdown.parse(text)
    for token in tokens:
        if token.type == "inline":
            token.children = _reachable(token.children or [], find_target)
    headings = _anchor_headings(markdown, tokens)
    _caption_figures(tokens)
    html = markdown.renderer.render(
        _without_empty_heads(tokens), markdown.options, {"name": name, "notes": notes or {}}
    )
    return Rendered(str(html), headings)


def render_source(code: str, filename: str) -> str:
    """The code of a file, highlighted; the number before each line links to the line."""
    try:
        lexer = get_lexer_for_filename(filename, stripnl=False)
    except ClassNotFound:
        lexer = TextLexer(stripnl=False)
    return _lines(highlight(code, lexer, HtmlFormatter(nowrap=True)), first=1, numbered=True)


def _lines(highlighted: str, first: int, numbered: bool = False) -> str:
    """Gives each line the anchor that code hosts give it."""
    html = []
    for number, line in enumerate(highlighted.splitlines(), start=first):
        link = f'<a class="number" href="#L{number}" aria-label="line {number}" data-line="{number}"></a>'
        html.append(f'<span class="line" id="L{number}">{link if numbered else ""}{line}\n</span>')
    return f"<pre><code>{''.join(html)}</code></pre>\n"


def _fence(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: dict) -> str:
    token = tokens[index]
    line = (token.map or [0])[0] + 2
    if token.info == "math":
        try:
            formula = MATHML.convert_with_local_state(token.content, displaystyle=True)
        except LatexError as error:
            raise ValueError(f"{env['name']}, line {line}: a formula cannot be read: {error}") from error
        note = env["notes"].get(line, "")
        beside = f'<p class="note">{escape(note, quote=False)}</p>\n' if note else ""
        anchors = "".join(f'<span id="L{line + place}"></span>' for place in range(token.content.count("\n")))
        return f'<div class="formula">{anchors}{formula}</div>\n{beside}'
    if token.info in ("", "text"):
        return f'<pre class="graph"><code>{escape(token.content, quote=False)}</code></pre>\n'
    lexer = get_lexer_by_name(token.info, stripnl=False)
    return _lines(highlight(token.content, lexer, HtmlFormatter(nowrap=True)), first=line)


def _table_open(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: dict) -> str:
    return '<div class="table"><table>\n'


def _table_close(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: dict) -> str:
    return "</table></div>\n"


def _reachable(children: list[Token], find_target: Callable[[str], str | None]) -> list[Token]:
    """The inline tokens with the addresses that links have in the site; a link without one becomes its text."""
    kept = []
    is_dead = False
    for token in children:
        if token.type == "link_open":
            target = find_target(str(token.attrs["href"]))
            is_dead = target is None
            token.attrs["href"] = target or ""
        if token.type == "image":
            target = find_target(str(token.attrs["src"]))
            token.attrs["src"] = target or ""
            if target is None:
                token = Token("text", "", 0, content=token.content)
        if not (is_dead and token.type in ("link_open", "link_close")):
            kept.append(token)
    return kept


def _anchor_headings(markdown: MarkdownIt, tokens: list[Token]) -> list[tuple[str, str]]:
    """Gives every heading its anchor, and each but the title a visible link to itself."""
    found: list[tuple[str, str]] = []
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        html = str(markdown.renderer.render([inline], markdown.options, {}))
        anchor, with_link = anchored(html)
        opening.attrs["id"] = anchor
        if opening.tag == "h1":
            continue
        if opening.tag == "h2":
            found.append((anchor, html))
        inline.children = [Token("html_inline", "", 0, content=with_link)]
    return found


def anchored(html: str) -> tuple[str, str]:
    """The anchor that code hosts give a heading, and the heading with a sign that links to itself."""
    text = re.sub("<[^>]*>", "", html)
    anchor = re.sub(r"[^\w\- ]", "", unescape(text).lower()).replace(" ", "-")
    return anchor, f'{html} <a class="anchor" href="#{anchor}" aria-label="Link to {text}">#</a>'


def _caption_figures(tokens: list[Token]) -> None:
    """Turns each paragraph that is only an image into a figure, with the image's description below it."""
    for opening, inline, closing in zip(tokens, tokens[1:], tokens[2:], strict=False):
        children = inline.children or []
        if opening.type == "paragraph_open" and [token.type for token in children] == ["image"]:
            opening.tag = closing.tag = "figure"
            caption = f"<figcaption>{escape(children[0].content)}</figcaption>"
            inline.children = [*children, Token("html_inline", "", 0, content=caption)]


def _without_empty_heads(tokens: list[Token]) -> list[Token]:
    """Marks the heading cells of tables: the first row or, if Markdown has an empty first row, the first column."""
    kept: list[Token] = []
    head: list[Token] | None = None
    is_headless = is_first = False
    for token in tokens:
        if token.type == "thead_open":
            head = []
        if head is not None:
            head.append(token)
            if token.type == "th_open":
                token.attrs["scope"] = "col"
            if token.type == "thead_close":
                is_headless = not any(cell.content for cell in head)
                kept += [] if is_headless else head
                head = None
            continue
        if token.type == "tr_open":
            is_first = True
        if is_headless and is_first and token.type in ("td_open", "td_close"):
            token.tag = "th"
            if token.type == "td_open":
                token.attrs["scope"] = "row"
            is_first = token.type == "td_open"
        kept.append(token)
    return kept
