"""What the parser of command lines prints, as this library shows it: errors in one sentence, help in plain lines."""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

BORDERS = "│╭╰─╮╯ "

SENTENCES = {
    r"Error parsing (\S+): invalid literal for int\(\) with base 10: (.+)": r"\1 must be an integer, got \2",
    r"Error parsing (\S+): could not convert string to float: (.+)": r"\1 must be a number, got \2",
    r"invalid choice (.+) for argument '(\S+)', expected one of \((.+?),?\)": r"\2 must be one of \3, got \1",
    r"Missing value for argument '(\S+)', expected 1 values": r"\1 needs a value",
    r"Missing value for argument '(\S+)', expected (\d+) values": r"\1 needs \2 values",
    r"Error parsing (\S+): Could not find valid parse for arguments: \[(.+)\]": r"\1 cannot be \2",
    r"Missing from .+?: (\S+) .+": r"\1 is missing",
}
"""What the parser says in its own words, and how this library says it."""


@contextmanager
def plain_parser_output(prog: str) -> Iterator[None]:
    """Within its `with` block, the parser's help and errors are kept; where it exits, they are printed in this form.

    Nothing is coloured, as the variable NO_COLOR asks for.
    """
    stdout, stderr = StringIO(), StringIO()
    try:
        with redirect_stdout(stdout), redirect_stderr(stderr):
            yield
    except SystemExit as end:
        sys.stdout.write(plain_help(stdout.getvalue()))
        if end.code and stderr.getvalue():
            print(f"{prog}: error: {error_sentence(stderr.getvalue())}; --help explains it", file=sys.stderr)
        raise


def flowed(description: str) -> str:
    """A docstring with each paragraph, and each item of a list, in one line, for the parser to break."""
    return re.sub(r"(?<=\S)\n(?![\n-]) *", " ", description)


def plain_help(text: str) -> str:
    """The help with long lines broken, `--out PATH` for `--out {None}|PATH`, and without defaults that are none."""
    text = re.sub(r"\{None\}\|(\S+)", rf"\1{' ' * len('{None}|')}", text)
    text = re.sub(r"\s*\(default:\s*(None)?\)", "", text)
    text = re.sub(r"\n{3,}", "\n\n", text)
    width = max(40, shutil.get_terminal_size().columns)
    lines = []
    for line in text.splitlines():
        is_long = len(line) > width and line[:1] not in BORDERS
        indent = "  " * line.startswith("- ")
        lines += textwrap.wrap(line, width, subsequent_indent=indent) if is_long else [line.rstrip()]
    return "".join(f"{line}\n" for line in lines)


def error_sentence(text: str) -> str:
    """The message in a box of the parser, which stands between its title and the first rule or the help."""
    parts = re.split(r"^-*$", "\n".join(line.strip(BORDERS) for line in text.splitlines()[1:]), flags=re.MULTILINE)
    message = next((part for part in parts if part.strip()), text)
    sentence = " ".join(message.split()).removesuffix(".").replace(". Expected", ", expected")
    for theirs, ours in SENTENCES.items():
        if match := re.fullmatch(theirs, sentence, flags=re.IGNORECASE):
            return match.expand(ours)
    return sentence
