"""The options of a run as its config.json keeps them: written apart from the paths, and read with their types."""

from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from scratchformer.arguments import checked_arguments
from scratchformer.python_numbers import fits_type
from scratchformer.reading import shown
from scratchformer.runs.ranges import check_config, check_ranges

ConfigT = TypeVar("ConfigT")


class Where:
    """Marks an option, in its type, that says where a run is computed. It may differ when the run is resumed."""


@checked_arguments
def options_of(config: object) -> dict[str, Any]:
    """The options that determine what a run does: all but its places."""
    check_config("options_of", config)
    return {name: value for name, value in vars(config).items() if name not in places_of(config)}


@checked_arguments
def places_of(config: object) -> dict[str, str | float | None]:
    """The options that are paths, or say where a run is computed. They may differ when a run is resumed."""
    check_config("places_of", config)
    hints, annotated = get_type_hints(type(config)), get_type_hints(type(config), include_extras=True)
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(config).items()
        if Path in (hints[name], *get_args(hints[name])) or Where in getattr(annotated[name], "__metadata__", ())
    }


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


def _from_json(value: Any, hint: Any) -> Any:
    """Restores the types that JSON does not have: paths and tuples."""
    if isinstance(value, list):
        return tuple(value)
    return Path(value) if isinstance(value, str) and Path in (hint, *get_args(hint)) else value
