import argparse
import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro

from scratchformer.runs.folder import read_json

ConfigT = TypeVar("ConfigT", bound=Any)


def option_name(field: str) -> str:
    """The option that sets a field: `top_k` is typed as `--top-k`."""
    return f"--{field.replace('_', '-')}"


def options_of(config: Any) -> dict[str, Any]:
    """What a run does, for its config.json: every option but those that say where something is."""
    return {name: value for name, value in vars(config).items() if name not in places_of(config)}


def places_of(config: Any) -> dict[str, str | None]:
    """Where things are: the options that are paths. They may differ when a run goes on."""
    hints = get_type_hints(type(config))
    return {
        name: None if value is None else str(value)
        for name, value in vars(config).items()
        if Path in (hints[name], *get_args(hints[name]))
    }


def parse(presets: Mapping[str, ConfigT], *, prog: str, description: str, arguments: Sequence[str]) -> ConfigT:
    """The configuration that the arguments ask for, starting from the preset that `--preset` names.

    With `--resume FOLDER`, where the configuration has such a field, it starts from the options of the run in that
    folder, and any that differs from them is refused, but for those that say where something is.

    Args:
        presets: configurations by name, all dataclasses of one type, with a field `preset` if there are several;
            the first is the default.
        prog, description: for `--help`, which shows every field with its docstring and the preset's value.
        arguments: as typed, without the program's name.

    Exits with status 2 and the reason when an option is unknown or a value does not fit its type.
    Raises ValueError when the run that is to be resumed cannot be read, or an option differs from its options.
    """
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    peek.add_argument("--preset", nargs="?")
    peek.add_argument("--resume", nargs="?")
    peeked = peek.parse_known_args(arguments)[0]
    default = presets.get(peeked.preset, next(iter(presets.values())))
    _refuse_unknown(_mistyped(arguments, default), default, prog)
    resumed = None
    if peeked.resume is not None and hasattr(default, "resume"):
        default = resumed = _options_of_run(type(default), Path(peeked.resume))
    config, unknown = tyro.cli(
        type(default), default=default, prog=prog, description=description, args=arguments, return_unknown_args=True
    )
    _refuse_unknown(unknown, default, prog)
    if resumed is not None:
        _check_same(resumed, config, Path(peeked.resume))
    return config


def _mistyped(arguments: Sequence[str], default: Any) -> list[str]:
    """Options that there are none of. The parser would take them for the value of a place that has no name."""
    known = {"--help", "--", *map(option_name, vars(default))}
    known |= {option_name(f"no_{name}") for name, value in vars(default).items() if isinstance(value, bool)}
    typed = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    return [option for option in typed if option.replace("_", "-") not in known]


def _refuse_unknown(unknown: Sequence[str], default: Any, prog: str) -> None:
    if unknown:
        close = difflib.get_close_matches(unknown[0], map(option_name, vars(default)), n=1)
        hint = f"did you mean {close[0]}?" if close else "--help lists the options"
        print(f"{prog}: error: unknown option {unknown[0]}; {hint}", file=sys.stderr)
        raise SystemExit(2)


def _options_of_run(config_type: type[ConfigT], folder: Path) -> ConfigT:
    """The configuration that the run in a folder was started with."""
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"--resume {folder}: there is no run to go on with, it holds no config.json")
    content = read_json(path)
    hints = get_type_hints(config_type)
    try:
        stored = content["options"] | content["places"]
        known = {name: _from_json(stored.pop(name), hints[name]) for name in hints}
        fits = not stored and all(_fits(known[name], hints[name]) for name in hints)
    except (KeyError, TypeError):
        fits = False
    if not fits:
        raise ValueError(f"--resume {folder}: its config.json is not of this program in this version")
    return config_type(**known | ({"out": None} if "out" in known else {}))


def _from_json(value: Any, hint: Any) -> Any:
    """JSON knows neither paths nor tuples."""
    if isinstance(value, list):
        return tuple(value)
    return Path(value) if isinstance(value, str) and Path in (hint, *get_args(hint)) else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type that an option can have."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Literal:
        return value in inner
    if kind is tuple and inner[1:] == (Ellipsis,):
        return isinstance(value, tuple) and all(_fits(part, inner[0]) for part in value)
    if kind is tuple:
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(_fits, value, inner))
    if inner:
        return any(_fits(value, option) for option in inner)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint or (hint is Path and isinstance(value, Path))


def _check_same(stored: Any, config: Any, folder: Path) -> None:
    before = options_of(stored)
    for name, value in options_of(config).items():
        if value != before[name]:
            raise ValueError(
                f"{option_name(name)} is {value}, the run in {folder} was started with {before[name]}; "
                "a run goes on with its own options only"
            )


@contextmanager
def one_sentence_errors(prog: str, status: int = 2, kind: type[Exception] = ValueError) -> Iterator[None]:
    """Turns an error that says in one sentence what is wrong into that line and an exit status.

    A ValueError speaks of the user's input, and 2 is the status for that. A model that does not fit in memory counts
    as such.
    """
    try:
        yield
    except (kind, MemoryError) as error:
        print(f"{prog}: error: {str(error) or 'not enough memory'}", file=sys.stderr)
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
