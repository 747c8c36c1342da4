import argparse
import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import tyro

ConfigT = TypeVar("ConfigT")


def option_name(field: str) -> str:
    """The option that sets a field: `top_k` is typed as `--top-k`."""
    return f"--{field.replace('_', '-')}"


def parse(presets: Mapping[str, ConfigT], *, prog: str, description: str, arguments: Sequence[str]) -> ConfigT:
    """The configuration that the arguments ask for, starting from the preset that `--preset` names.

    Args:
        presets: configurations by name, all dataclasses of one type with a field `preset`; the first is the default.
        prog, description: for `--help`, which shows every field with its docstring and the preset's value.
        arguments: as typed, without the program's name.

    Exits with status 2 and the reason when an option is unknown or a value does not fit its type.
    """
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    peek.add_argument("--preset", nargs="?")
    name = peek.parse_known_args(arguments)[0].preset
    default = presets[name] if name in presets else next(iter(presets.values()))
    config, unknown = tyro.cli(
        type(default), default=default, prog=prog, description=description, args=arguments, return_unknown_args=True
    )
    if unknown:
        options = [option_name(field) for field in vars(default)]
        close = difflib.get_close_matches(unknown[0], options, n=1)
        hint = f"did you mean {close[0]}?" if close else "--help lists the options"
        print(f"{prog}: error: unknown option {unknown[0]}; {hint}", file=sys.stderr)
        raise SystemExit(2)
    return config


@contextmanager
def one_sentence_errors(prog: str, status: int = 2, kind: type[Exception] = ValueError) -> Iterator[None]:
    """Turns an error that says in one sentence what is wrong into that line and an exit status.

    A ValueError speaks of the user's input, and 2 is the status for that. A model that does not fit in memory counts
    as such.
    """
    try:
        yield
    except (kind, MemoryError) as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        raise SystemExit(status) from None


def check_option(
    name: str,
    value: float,
    *,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    """Raises ValueError, naming the field as the option that is typed, for a value out of range."""
    option = option_name(name)
    if at_least is not None and not value >= at_least:
        raise ValueError(f"{option} must be at least {at_least:g}, got {value}")
    if above is not None and not value > above:
        raise ValueError(f"{option} must be above {above:g}, got {value}")
    if below is not None and not value < below:
        raise ValueError(f"{option} must be below {below:g}, got {value}")
