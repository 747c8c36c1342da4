import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from scratchformer.arguments import checked_arguments
from scratchformer.reading import read_utf8

FOLDER = Path(__file__).parents[1]
ENTRY = re.compile(r"^\d+\. \[(?P<title>[^\]]+)\]\((?P<name>\w+)\.md\): (?P<summary>.+)$", re.MULTILINE)
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Fence:
    """A block between two lines of three backticks.

    Args:
        language: "python" for code that is run, "math" for a formula, "text" for a graph, "sh" for a command.
        code: the lines between.
        line: the first of these lines, as a line number of the page.
    """

    language: str
    code: str
    line: int


@checked_arguments
@dataclass(frozen=True)
class Page:
    """The derivation of one operation, in Markdown.

    Args:
        name: "softmax" for softmax.md.
        title: as in the list of pages.
        summary: the question that the page answers, in one line.
        text: the Markdown.
    """

    name: str
    title: str
    summary: str
    text: str

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.md"

    @cached_property
    def fences(self) -> list[Fence]:
        """The fences in the order of the page."""
        return [
            Fence(found["language"], found["code"], self.text.count("\n", 0, found.start("code")) + 1)
            for found in FENCE.finditer(self.text)
        ]


def pages() -> list[Page]:
    """All pages in the order of study, which is the order of the list in README.md.

    Raises ValueError when the list or a page cannot be read, or the list names no page.
    """
    listed = list(ENTRY.finditer(read_page("README")))
    if not listed:
        raise ValueError(f"{FOLDER / 'README.md'} lists no page")
    return [Page(entry["name"], entry["title"], entry["summary"], read_page(entry["name"])) for entry in listed]


def read_page(name: str) -> str:
    """The Markdown of a page. Raises ValueError when it cannot be read."""
    return read_utf8(FOLDER / f"{name}.md").replace("\r\n", "\n")  # as Git checks pages out on Windows


@checked_arguments
def find_page(name: str) -> Page:
    """The page of this name.

    Raises ValueError when there is none; the message suggests the closest name.
    """
    all_pages = {page.name: page for page in pages()}
    if name in all_pages:
        return all_pages[name]
    close = get_close_matches(name, all_pages, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "run the command without a name to list all pages"
    raise ValueError(f"there is no page {name!r}; {hint}")
