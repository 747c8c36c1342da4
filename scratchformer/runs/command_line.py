"""The command line of a program: options, presets, and errors in one sentence."""

import argparse
import difflib
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import tyro

from scratchformer.arguments import checked_arguments
from scratchformer.runs.files import read_json
from scratchformer.runs.parser_output import flowed, plain_parser_output
from scratchformer.runs.ranges import check_config, option_name
from scratchformer.runs.stored_options import ConfigT, UnfitConfig, config_from_json, options_of, places_of


@checked_arguments
def parse(
    presets: Mapping[str, ConfigT],
    *,
    prog: str,
    description: str,
    arguments: Sequence[str],
    inherited: Sequence[str] = (),
) -> ConfigT:
    """The configuration that the arguments ask for: the preset that `--preset` names, with the options that were typed.

    With `--resume FOLDER`, where the configuration has that field, it starts from the options of the run in the folder
    instead. Then an option that is typed must have the value that the run was started with, unless it is a path, or is
    `--extend`, which changes the run. With `--init-from FOLDER` only the options that `inherited` names are those of
    that run.

    Args:
        presets: configurations by name, all dataclasses of one type. The first is the default. Where there are several,
            they have a field `preset`.
        prog, description: for `--help`, which shows every field with its docstring and the preset's value.
        arguments: as typed, without the program's name.
        inherited: names of options.

    Exits with status 2 and the reason when an option is unknown or a value does not fit its type.
    Raises ValueError when the run to be resumed cannot be read, or was started with another value of an option.
    """
    if not presets:
        raise ValueError("parse: presets must hold at least one configuration, got none")
    for name, preset in presets.items():
        check_config("parse", preset, f"presets[{name!r}]")
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    peek.add_argument("--preset", nargs="?")
    peek.add_argument("--resume", nargs="?")
    peek.add_argument("--init-from", nargs="?")
    peeked = peek.parse_known_args(arguments)[0]
    default = presets.get(peeked.preset, next(iter(presets.values())))
    _refuse_unknown(_unknown_options(arguments, default), default, prog)
    _refuse_empty(arguments, default, prog)
    resumed = initial = None
    if peeked.resume is not None and hasattr(default, "resume"):
        default = resumed = _config_of_run("--resume", type(default), _expanded(Path(peeked.resume)))
    elif peeked.init_from is not None and inherited:
        initial = _config_of_run("--init-from", type(default), _expanded(Path(peeked.init_from)))
        default = replace(cast(Any, default), **{name: getattr(initial, name) for name in inherited})
    with plain_parser_output(prog):
        config, unknown = tyro.cli(
            type(default),
            default=default,
            prog=prog,
            description=flowed(description),
            args=arguments,
            return_unknown_args=True,
        )
    _refuse_unknown(unknown, default, prog)
    config = _with_expanded_places(config)
    if resumed is not None:
        free = {"extend"}
        reason = "the run in {} was started with {}; a run goes on with its own options only"
        _check_same(resumed, config, options_of(resumed).keys() - free, reason, Path(peeked.resume))
    if initial is not None:
        _check_same(initial, config, inherited, "the model in {} has {}", Path(peeked.init_from))
    return config


def _with_expanded_places(config: Any) -> Any:
    """The configuration with `~` expanded in all paths: a shell leaves it alone in `--out=~/runs`."""
    places = {name: getattr(config, name) for name in places_of(config)}
    return replace(config, **{name: _expanded(path) for name, path in places.items() if isinstance(path, Path)})


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path}: there is no home folder of {path.parts[0]}") from None


def _unknown_options(arguments: Sequence[str], default: object) -> list[str]:
    """The options in the arguments that no field has. The parser would take one for a positional argument's value."""
    known = {"--help", "--", *map(option_name, vars(default))}
    known |= {option_name(f"no_{name}") for name, value in vars(default).items() if isinstance(value, bool)}
    typed = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    return [option for option in typed if option.replace("_", "-") not in known]


def _refuse_unknown(unknown: Sequence[str], default: object, prog: str) -> None:
    if unknown:
        kind = "option" if unknown[0].startswith("-") else "argument"
        names = {option_name(name).removeprefix("--"): option_name(name) for name in vars(default)}
        close = difflib.get_close_matches(unknown[0].removeprefix("--"), names, n=1) if kind == "option" else []
        hint = f"did you mean {names[close[0]]}?" if close else f"--help lists the {kind}s"
        print(f"{prog}: error: unknown {kind} {unknown[0]}; {hint}", file=sys.stderr)
        raise SystemExit(2)


def _refuse_empty(arguments: Sequence[str], default: object, prog: str) -> None:
    """Exits where an option was typed without values that has none by default: it would mean as much as no option."""
    several = [option_name(name) for name, value in vars(default).items() if value == ()]
    for option, following in pairwise([*arguments, "--"]):
        if option in several and following.startswith("--"):
            print(f"{prog}: error: {option} needs a value; --help explains it", file=sys.stderr)
            raise SystemExit(2)


def _config_of_run(option: str, config_type: type[ConfigT], folder: Path) -> ConfigT:
    """The configuration that the run in the option's folder was started with, apart from `out`, which is None."""
    path = folder / "config.json"
    if not path.is_file():
        purpose = "go on with" if option == "--resume" else "start from"
        raise ValueError(f"{option} {folder}: there is no run to {purpose}, it holds no config.json")
    try:
        config: Any = config_from_json(config_type, read_json(path))
    except UnfitConfig as error:
        raise ValueError(
            f"{option} {folder}: its config.json is not of this program in this version: {error}"
        ) from None
    return replace(config, out=None) if hasattr(config, "out") else config


def _check_same(stored: object, config: object, names: Collection[str], reason: str, folder: Path) -> None:
    for name, value in options_of(config).items():
        if name in names and value != (before := getattr(stored, name)):
            raise ValueError(f"{option_name(name)} is {value}, {reason.format(folder, before)}")


@checked_arguments
@contextmanager
def one_sentence_errors(prog: str, status: int = 2, kind: type[Exception] = ValueError) -> Iterator[None]:
    """Prints an error of this kind as one sentence on stderr, without a traceback, and exits.

    The default is the ValueError, which names what is wrong with the user's input; the status for that is 2. A model
    that does not fit in memory is treated as wrong input, too.
    """
    try:
        yield
    except (kind, MemoryError) as error:
        print(f"{prog}: error: {str(error) or 'not enough memory'}", file=sys.stderr)
        raise SystemExit(status) from None
