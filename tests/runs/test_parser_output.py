import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from scratchformer.runs import parse


@dataclass(frozen=True)
class Options:
    steps: int = 1
    """Updates."""
    rate: float = 1.0
    """Size of a step."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Decay rates."""
    sizes: tuple[int, ...] = (3,)
    """Widths."""
    model: Literal["gpt", "llama"] = "gpt"
    """Architecture."""
    out: Path | None = None
    """Folder."""


def refuse(*arguments: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse({"a": Options()}, prog="run.py", description="A run.", arguments=arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "abc"], "--steps must be an integer, got 'abc'"),
        (["--rate", "abc"], "--rate must be a number, got 'abc'"),
        (["--model", "foo"], "--model must be one of 'gpt', 'llama', got 'foo'"),
        (["--steps"], "--steps needs a value"),
        (["--betas", "0.9"], "--betas needs 2 values"),
        (["--sizes", "x", "3"], "--sizes cannot be 'x', '3'"),
    ],
)
def test_an_error_of_the_parser_is_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(*arguments)
    assert capsys.readouterr().err == f"run.py: error: {said}; --help explains it\n"


def test_help_is_plain_and_no_wider_than_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((70, 20)))
    with pytest.raises(SystemExit, match="0"):
        parse({"a": Options()}, prog="run.py", description="word " * 60, arguments=["--help"])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 70
    assert "{None}" not in printed
    assert "--out PATH " in printed
    assert "\x1b" not in printed
    assert "default: 1" in printed
    assert "None" not in printed


def test_paragraphs_and_items_of_a_list_flow_in_the_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((40, 20)))
    description = "One sentence that\nis broken\n\nSecond:\n\n- an item that goes on and is\n  broken as well\n- last"
    with pytest.raises(SystemExit, match="0"):
        parse({"a": Options()}, prog="run.py", description=description, arguments=["--help"])
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("One sentence that is broken")
    assert lines[start + 1 : start + 7] == [
        "",
        "Second:",
        "",
        "- an item that goes on and is broken as",
        "  well",
        "- last",
    ]
