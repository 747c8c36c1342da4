import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

FOLDER = Path(__file__).parents[1]
ENTRY = re.compile(r"^\d+\. \[(?P<title>[^\]]+)\]\((?P<name>\w+)\.md\): (?P<summary>.+)$", re.MULTILINE)
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Fence:
    """A block between two lines of three backticks.

    Args:
        language: "python" for code that is run, "math" for a formula, "text" for a graph, or what a shell is told.
        code: the lines between.
        line: of the page, of the first of them.
    """

    language: str
    code: str
    line: int


@dataclass(frozen=True)
class Page:
    """The derivation of one operation, in Markdown.

    Args:
        name: "softmax" for softmax.md.
        title: as the list of pages has it.
        summary: a line on what it answers.
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
        """In the order of the page."""
        return [
            Fence(found["language"], found["code"], self.text.count("\n", 0, found.start("code")) + 1)
            for found in FENCE.finditer(self.text)
        ]


def pages() -> list[Page]:
    """All pages, in the order of study: that of the list in README.md beside them."""
    listed = ENTRY.finditer((FOLDER / "README.md").read_text(encoding="utf-8"))
    return [Page(entry["name"], entry["title"], entry["summary"], read_page(entry["name"])) for entry in listed]


def read_page(name: str) -> str:
    """The Markdown of a page."""
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def find_page(name: str) -> Page:
    """The page of this name.

    Raises ValueError when there is none, with the name that comes closest.
    """
    all_pages = {page.name: page for page in pages()}
    if name in all_pages:
        return all_pages[name]
    close = get_close_matches(name, all_pages, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "without a name all pages are listed"
    raise ValueError(f"there is no page {name!r}; {hint}")
