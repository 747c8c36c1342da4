"""The values that an option may take, declared in its type, and the check of a configuration against them."""

from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from operator import ge, gt, le, lt
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from scratchformer.arguments import checked_arguments


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


@checked_arguments
def check_ranges(config: object) -> None:
    """Raises ValueError for the first field of a dataclass whose value does not fit its type's ranges and relations.

    Relations are checked after all ranges. A range inside of a tuple's type holds for each of its items, and one beside
    None for what is not None.
    """
    check_config("check_ranges", config)
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


def check_config(function: str, config: object, name: str = "config") -> None:
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"{function}: {name} must be a dataclass with its values, got {type(config).__name__}")


def option_name(field: str) -> str:
    """The option that sets a field: `top_k` is typed as `--top-k`."""
    return f"--{field.replace('_', '-')}"
