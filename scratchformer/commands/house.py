"""Draws the picture of the house: the rooms of this package, what each is for, and which imports which.

A room is a folder of the package. What the picture says of it is the first sentence of its docstring; the arrows are
the imports that its files really make.
"""

import ast
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from xml.sax.saxutils import escape

import tyro

import scratchformer
from scratchformer.replacing import replace_file
from scratchformer.runs.command_line import one_sentence_errors, parse

FLOORS = (
    ("commands",),
    ("recipes", "pretrained"),
    ("runs",),
    ("derivations", "catalogue"),
    ("analysis",),
    ("training", "generation", "plots"),
    ("models",),
    ("text", "optim", "layers"),
    ("ops",),
    ("gradcheck",),
)
"""The rooms from top to bottom, as in the import contract in `setup.cfg`: a floor may import from those below it."""

MARGIN = 14
BOX_WIDTH = 500
LINE_HEIGHT = 15
PADDING = 7
"""Above and below the lines of a box."""
WORDS_AT = 116
"""Where the words of a box begin, right of its name."""
CHARACTERS_IN_A_LINE = 53
"""As many as fit between there and the end of the box."""
FLOOR_GAP = 8
COLUMN = 21
"""The distance between two lines that lead down to rooms."""

LEGEND = (
    "A dot: the room at its left imports the room that the line leads down to. "
    "Rooms that touch import none of each other."
)
STYLE = """
text { font: 12.5px system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
.name { font-size: 14.5px; font-weight: 600 }
.page { fill: #ffffff } .box { fill: #eef3f8; stroke: #9fb3c8 }
.name, .words { fill: #1f2933 } .faint { fill: #52606d }
.wire { fill: none; stroke: #829ab1 } .arrow { fill: #829ab1 } .dot { fill: #0072b2 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } .box { fill: #18212d; stroke: #3d5166 }
.name, .words { fill: #e6edf3 } .faint { fill: #a3b1c2 }
.wire { stroke: #5c7288 } .arrow { fill: #5c7288 } .dot { fill: #56b4e9 }
}
"""


@dataclass(frozen=True)
class Config:
    """Options of the picture."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("house.svg")
    """SVG file to write."""

    def check(self) -> None:
        """Raises ValueError for a file that cannot be written as SVG."""
        if self.out.suffix != ".svg":
            raise ValueError(f"--out must name an SVG file, such as house.svg, got {self.out}")
        if not self.out.parent.is_dir():
            raise ValueError(f"--out {self.out}: there is no folder {self.out.parent}")


@dataclass(frozen=True)
class Room:
    """What the picture says of a room."""

    name: str
    words: str
    """The first sentence of its docstring."""
    num_files: int
    """Python files; pages of derivations are not counted."""
    imports: frozenset[str]
    """The names of the rooms that its files import."""


def main(arguments: Sequence[str]) -> None:
    prog = "python -m scratchformer house"
    with one_sentence_errors(prog):
        config = parse({"default": Config()}, prog=prog, description=__doc__, arguments=arguments)
        config.check()
    replace_file(config.out, [draw([[read_room(name) for name in floor] for floor in FLOORS]).encode()])
    print(f"picture: {config.out}")


def read_room(name: str) -> Room:
    """Reads a room's docstring and the imports of all its files."""
    folder = Path(scratchformer.__file__).parent / name
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.py"))}
    docstring = ast.get_docstring(trees[folder / "__init__.py"]) or ""
    words = " ".join(docstring.split()).partition(". ")[0].removesuffix(".").replace("`", "")
    imported = {room for tree in trees.values() for room in imported_rooms(tree)}
    return Room(name, words, len(trees), frozenset(imported - {name}))


def imported_rooms(tree: ast.Module) -> Iterator[str]:
    """The rooms that a file imports, also those that only a function of it imports."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            if package == "scratchformer" and (room := rest.partition(".")[0]) in sum(FLOORS, ()):
                yield room


def draw(floors: Sequence[Sequence[Room]]) -> str:
    """The picture as SVG: a box for each room; the rooms of a floor touch.

    A line runs right from each room, with a dot where it meets the line that leads down to a room that it imports.
    """
    rooms = [room for floor in floors for room in floor]
    importers = {room.name: [other.name for other in rooms if room.name in other.imports] for room in rooms}
    lines = {room.name: textwrap.wrap(room.words, CHARACTERS_IN_A_LINE) for room in rooms}
    heights = {name: 2 * PADDING + LINE_HEIGHT * max(len(lines[name]), 2) for name in lines}
    tops: dict[str, int] = {}
    y = MARGIN
    for floor in floors:
        for room in floor:
            tops[room.name] = y
            y += heights[room.name]
        y += FLOOR_GAP
    right = MARGIN + BOX_WIDTH
    imported = [name for name in tops if importers[name]]
    columns = {name: right + COLUMN * (i + 1) for i, name in enumerate(imported)}
    width, height = right + COLUMN * (len(imported) + 1), y + LINE_HEIGHT + MARGIN
    outgoing = {name: tops[name] + 2 * heights[name] // 3 for name in tops}

    boxes, wires, marks = [], [], []
    for room in rooms:
        name, top = room.name, tops[room.name]
        boxes.append(f'<rect class="box" x="{MARGIN}" y="{top}" width="{BOX_WIDTH}" height="{heights[name]}" rx="3"/>')
        boxes.append(text(MARGIN + 10, top + PADDING + 12, "name", name))
        boxes.append(text(MARGIN + 10, top + PADDING + 27, "faint", f"{room.num_files} files"))
        first_line = top + heights[name] // 2 - LINE_HEIGHT * len(lines[name]) // 2 + 12
        for i, line in enumerate(lines[name]):
            boxes.append(text(MARGIN + WORDS_AT, first_line + LINE_HEIGHT * i, "words", line))
        if room.imports:
            wires.append(
                f'<path class="wire" d="M{right} {outgoing[name]}H{max(columns[to] for to in room.imports)}"/>'
            )
    for name, column in columns.items():
        into = tops[name] + heights[name] // 3
        down = f"M{column} {outgoing[importers[name][0]]}V{into - 5}q0 5 -5 5H{right + 8}"
        wires.append(f'<path class="wire" d="{down}"/>')
        marks.append(f'<path class="arrow" d="M{right + 1} {into}l8 -4v8z"/>')
        for other in importers[name]:
            marks.append(f'<circle class="dot" cx="{column}" cy="{outgoing[other]}" r="4">')
            marks.append(f"<title>{other} imports {name}</title></circle>")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
            "<title>The rooms of scratchformer, and which imports which</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{width}" height="{height}" rx="6"/>',
            *wires,
            *marks,
            *boxes,
            text(MARGIN, height - MARGIN, "faint", LEGEND),
            "</svg>\n",
        ]
    )


def text(x: int, y: int, style: str, words: str) -> str:
    return f'<text class="{style}" x="{x}" y="{y}">{escape(words)}</text>'
