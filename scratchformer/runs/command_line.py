"""The command line of a program: options with their ranges, presets, and errors in one sentence."""

import argparse
import difflib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass, replace
from itertools import pairwise
from operator import ge, gt, le, lt
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

import tyro

from scratchformer.arguments import checked_arguments
from scratchformer.python_numbers import fits_type
from scratchformer.reading import shown
from scratchformer.runs.files import read_json
from scratchformer.runs.parser_output import flowed, plain_parser_output

ConfigT = TypeVar("ConfigT")


@checked_arguments
@dataclass(frozen=True)
class Range:
    """The values that an option may take, declared in its type: `steps: Annotated[int, Range(at_least=1)] = 100`.

    Not a number is out of every range that has a bound, and infinity out of those with `below=math.inf`.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    @checked_arguments
    def check(self, name: str, value: float) -> None:
        """Raises ValueError, naming the field as the option that is typed, for a value out of range."""
        for bound, is_inside, words in (
            (self.at_least, ge, "at least"),
            (self.above, gt, "above"),
            (self.at_most, le, "at most"),
            (self.below, lt, "below"),
        ):
            if bound is not None and not is_inside(value, bound):
                raise ValueError(f"{option_name(name)} must be {words} {bound:g}, got {value}")


@dataclass(frozen=True)
class Relation:
    """What must hold between an option and another one, declared in its type as a range is.

    Args:
        other: name of the other field.
        holds: called with the values of both.
        words: the message where it does not hold, between both options: "--warmup 9 must be less than --steps 9".
        reason: the end of the message.
    """

    other: str
    holds: Callable[[Any, Any], bool]
    words: str
    reason: str = ""

    def check(self, name: str, value: Any, config: object) -> None:
        """Raises ValueError, naming both options, where the relation does not hold in the configuration."""
        bound = getattr(config, self.other)
        if not self.holds(value, bound):
            option, other = option_name(name), option_name(self.other)
            raise ValueError(f"{option} {value} {self.words} {other} {bound}{self.reason}")


class Where:
    """Marks an option, in its type, that says where a run is computed. It may differ when the run is resumed."""


@checked_arguments
def check_ranges(config: object) -> None:
    """Raises ValueError for the first field of a dataclass whose value does not fit its type's ranges and relations.

    Relations are checked after all ranges. A range inside of a tuple's type holds for each of its items, and one beside
    None for what is not None.
    """
    _check_config("check_ranges", config)
    hints = get_type_hints(type(config), include_extras=True)
    for name, hint in hints.items():
        _check_range(name, getattr(config, name), hint)
    for name, hint in hints.items():
        for part in getattr(hint, "__metadata__", ()):
            if isinstance(part, Relation):
                part.check(name, getattr(config, name), config)


def _check_range(name: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is Annotated:
        for part in hint.__metadata__:
            if isinstance(part, Range):
                part.check(name, value)
        _check_range(name, value, hint.__origin__)
    elif get_origin(hint) is tuple:
        for item in value:
            _check_range(name, item, get_args(hint)[0])
    elif value is not None and type(None) in get_args(hint):
        for part in get_args(hint):
            _check_range(name, value, part)


def _check_config(function: str, config: object, name: str = "config") -> None:
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"{function}: {name} must be a dataclass with its values, got {type(config).__name__}")


def option_name(field: str) -> str:
    """The option that sets a field: `top_k` is typed as `--top-k`."""
    return f"--{field.replace('_', '-')}"


@checked_arguments
def options_of(config: object) -> dict[str, Any]:
    """The options that determine what a run does: all but its places."""
    _check_config("options_of", config)
    return {name: value for name, value in vars(config).items() if name not in places_of(config)}


@checked_arguments
def places_of(config: object) -> dict[str, str | float | None]:
    """The options that are paths, or say where a run is computed. They may differ when a run is resumed."""
    _check_config("places_of", config)
    hints, annotated = get_type_hints(type(config)), get_type_hints(type(config), include_extras=True)
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(config).items()
        if Path in (hints[name], *get_args(hints[name])) or Where in getattr(annotated[name], "__metadata__", ())
    }


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
        _check_config("parse", preset, f"presets[{name!r}]")
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


class UnfitConfig(ValueError):
    """A config.json that does not fit a type of configurations; the message says what is wrong in it."""


def config_from_json(config_type: type[ConfigT], content: Any) -> ConfigT:
    """The configuration that a config.json holds. Raises UnfitConfig where it does not fit the type."""
    hints = get_type_hints(config_type)
    stored: dict[str, Any] = {}
    for part in ("options", "places"):
        options = content.get(part) if isinstance(content, dict) else None
        if not isinstance(options, dict):
            raise UnfitConfig(f"{part} is {shown(options)}, expected options by name")
        if twice := stored.keys() & options.keys():
            raise UnfitConfig(f"the option {shown(min(twice))} stands twice")
        stored |= options
    if differing := sorted(stored.keys() ^ hints.keys()):
        kind = "is missing" if differing[0] in hints else "is unknown"
        raise UnfitConfig(f"the option {shown(differing[0])} {kind}")
    known = {name: _from_json(stored[name], hint) for name, hint in hints.items()}
    for name, hint in hints.items():
        if not fits_type(known[name], hint):
            raise UnfitConfig(f"the option {name} is {shown(stored[name])}, which is of another type")
    config = config_type(**known)
    if wrong := sorted(content["places"].keys() ^ places_of(config).keys()):
        raise UnfitConfig(f"the option {wrong[0]} is in the wrong place")
    try:
        check_ranges(config)
    except ValueError as error:
        raise UnfitConfig(str(error)) from None
    return config


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


def _from_json(value: Any, hint: Any) -> Any:
    """Restores the types that JSON does not have: paths and tuples."""
    if isinstance(value, list):
        return tuple(value)
    return Path(value) if isinstance(value, str) and Path in (hint, *get_args(hint)) else value


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
