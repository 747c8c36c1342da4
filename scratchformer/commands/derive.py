"""Reads the derivations: without a name lists them in the order of study, with one prints it and runs its code.

Each derived gradient is compared with a numerical derivative of that very intermediate; the table at the end says what
every check of the page found.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from scratchformer.derivations import Page, PageError, Result, describe_wrong, find_page, pages, run_page
from scratchformer.derivations.reader.figures import draw_figures
from scratchformer.runs.command_line import one_sentence_errors, parse


@dataclass(frozen=True)
class Config:
    """Options of the reader."""

    name: Annotated[str, tyro.conf.Positional] = ""
    """The page to read, such as softmax; without it, all are listed."""
    html: Path | None = None
    """Folder to write all pages to as a site that needs no network; it needs the extra `site`."""
    figures: Path | None = None
    """Folder to draw the figures of the pages to."""

    def check(self) -> None:
        """Raises ValueError for what does not go together."""
        if self.name and (self.html or self.figures):
            raise ValueError(f"{self.name!r} is one page; --html and --figures are about all of them")


def main(arguments: Sequence[str]) -> None:
    prog = "python -m scratchformer derive"
    with one_sentence_errors(prog):
        config = parse({"default": Config()}, prog=prog, description=__doc__, arguments=arguments)
        config.check()
        page = find_page(config.name) if config.name else None
        if config.html is not None:
            from scratchformer.derivations.reader.site import write_site  # what it needs is an extra

            print(f"site: {write_site(config.html)}")
        if config.figures is not None:
            for path in draw_figures(config.figures):
                print(f"figure: {path}")
    if page is not None:
        read(page)
    elif config.html is None and config.figures is None:
        list_pages()


def list_pages() -> None:
    """The names, titles and questions of all pages."""
    all_pages = pages()
    width = max(len(page.name) for page in all_pages)
    for number, page in enumerate(all_pages, start=1):
        print(f"{number:>2}  {page.name:<{width}}  {page.title}: {page.summary}")


def read(page: Page) -> None:
    """Prints a page and what its checks found; ends the program with status 1 if anything is wrong."""
    print(page.text)
    try:
        results = run_page(page)
    except PageError as error:
        sys.exit(f"error: {error}")
    print_results(results)
    wrong = [result for result in results if not result.is_right]
    for result in wrong:
        print(describe_wrong(page, result), file=sys.stderr)
    if wrong:
        sys.exit(1)


def print_results(results: Sequence[Result]) -> None:
    """The table: what was checked, in which line, how, the worst error, and whether it is right."""
    width = max(len(result.name) for result in results)
    print(f"{'stage':<{width}}  {'line':>4}  {'checked':<20}  {'worst error':>11}  verdict")
    for result in results:
        print(f"{result.name:<{width}}  {result.line:>4}  {result.how:<20}  {result.error:>11.1e}  {result.verdict}")
    num_right = sum(result.is_right for result in results)
    print(f"{num_right} of {len(results)} right")
