"""Lists the derivation pages in the order of study. With the name of a page, prints the page and runs its code.

The code compares each derived gradient with a numerical derivative with respect to the same intermediate. The formulas
are evaluated with the arrays of the code, and a note beside each says so. The table at the end has the result of every
check.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from scratchformer.derivations import CheckResult, Page, PageError, describe_wrong, find_page, pages
from scratchformer.derivations.formulas.page_formulas import Member
from scratchformer.derivations.reader.notes import with_notes
from scratchformer.derivations.reader.running import run_with_formulas
from scratchformer.replacing import replace_file
from scratchformer.runs.command_line import one_sentence_errors, parse


@dataclass(frozen=True)
class Config:
    """Options of the reader."""

    name: Annotated[str, tyro.conf.Positional] = ""
    """The page to read, such as softmax; without a name, all pages are listed."""
    html: Path | None = None
    """Folder to write all pages to, as a site that is read without a network. Needs the extra `site`."""
    figures: Path | None = None
    """Folder to write the figures of the pages to."""
    json: Path | None = None
    """File to write the parsed formulas of the page to, with what was found."""

    def check(self) -> None:
        """Raises ValueError for a page's name together with an option for all pages."""
        if self.json and not self.name:
            raise ValueError("--json writes the formulas of one page, and needs its name")
        if self.name and (self.html or self.figures):
            raise ValueError(f"--html and --figures write all pages, and cannot be used with one page, {self.name!r}")


def main(arguments: Sequence[str]) -> None:
    prog = "python -m scratchformer derive"
    with one_sentence_errors(prog):
        config = parse({"default": Config()}, prog=prog, description=__doc__, arguments=arguments)
        config.check()
        page = find_page(config.name) if config.name else None
        if config.html is not None:
            print(f"site: {write_all(config.html, prog)}")
        if config.figures is not None:
            from scratchformer.derivations.reader.figures import write_figures  # loads matplotlib

            for path in write_figures(config.figures):
                print(f"figure: {path}")
    if page is not None:
        read(page, config.json)
    elif config.html is None and config.figures is None:
        list_pages()


def write_all(folder: Path, prog: str) -> Path:
    """Writes all pages as a site. After Ctrl-C it says what the folder holds, and how to go on."""
    try:
        from scratchformer.derivations.reader.site import write_site  # needs the extra `site`

        return write_site(folder)
    except KeyboardInterrupt as stopped:
        kept = str(stopped) or f"nothing in {folder} has changed"
        print(f"{prog}: stopped; {kept}; the same command writes the whole site", file=sys.stderr)
        raise


def list_pages() -> None:
    """Prints the names, titles and questions of all pages."""
    all_pages = pages()
    width = max(len(page.name) for page in all_pages)
    for number, page in enumerate(all_pages, start=1):
        print(f"{number:>2}  {page.name:<{width}}  {page.title}: {page.summary}")


def read(page: Page, json_path: Path | None = None) -> None:
    """Prints a page and the results of its checks; ends the program with status 1 if a check fails."""
    try:
        run = run_with_formulas(page)
    except PageError as error:
        print(page.text)
        sys.exit(f"error: {error}")
    results = run.results
    print(with_notes(page, results))
    print_results(results, run.members)
    if json_path is not None:
        replace_file(json_path, [json.dumps([asdict(member) for member in run.members], indent=1).encode()])
    wrong = [result for result in results if not result.is_right]
    for result in wrong:
        print(describe_wrong(page, result), file=sys.stderr)
    if wrong:
        sys.exit(1)


def print_results(results: Sequence[CheckResult], members: Sequence[Member]) -> None:
    """Prints the table of checks: what was checked, in which line and how, the worst error, and the verdict.

    The last line says how many are right and, if formulas are evaluated, of how many members.
    """
    width = max(len(result.name) for result in results)
    print(f"{'stage':<{width}}  {'line':>4}  {'checked':<20}  {'worst error':>11}  verdict")
    for result in results:
        print(f"{result.name:<{width}}  {result.line:>4}  {result.how:<20}  {result.error:>11.1e}  {result.verdict}")
    num_right = sum(result.is_right for result in results)
    num_evaluated = sum(member.error is not None for member in members)
    of_formulas = f"; {num_evaluated} of {len(members)} members of formulas evaluated" if members else ""
    print(f"{num_right} of {len(results)} right{of_formulas}")
