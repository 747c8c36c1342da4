"""What the parser of command lines prints, as this library shows it: errors in one sentence, help in plain lines."""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

BORDERS = "│╭╰─╮╯ "


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


def plain_help(text: str) -> str:
    """The help with long lines broken, and with `--out PATH` for `--out {None}|PATH`."""
    text = re.sub(r"\{None\}\|(\S+)", rf"\1{' ' * len('{None}|')}", text)
    width = max(40, shutil.get_terminal_size().columns)
    lines = []
    for line in text.splitlines():
        is_long = len(line) > width and line[:1] not in BORDERS
        lines += textwrap.wrap(line, width) if is_long else [line.rstrip()]
    return "".join(f"{line}\n" for line in lines)


def error_sentence(text: str) -> str:
    """The message in a box of the parser, which stands between its title and the first rule or the help."""
    parts = re.split(r"^-*$", "\n".join(line.strip(BORDERS) for line in text.splitlines()[1:]), flags=re.MULTILINE)
    message = next((part for part in parts if part.strip()), text)
    return " ".join(message.split()).removesuffix(".").replace(". Expected", ", expected")
