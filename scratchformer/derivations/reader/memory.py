from collections.abc import Callable, Iterator
from contextlib import suppress
from types import CellType, FunctionType, MethodType

from numpy import ndarray

from scratchformer.arguments import checked_arguments


@checked_arguments
def kept_bytes(backward: Callable[..., object], *already_there: ndarray) -> int:
    """Bytes of the arrays that a backward pass keeps alive, without `already_there`, such as inputs and parameters.

    A view counts as the whole array that it keeps alive. Memory that two arrays share counts once.
    """
    not_counted = {id(_memory(array)) for array in already_there}
    memory = {id(base): base for base in map(_memory, _arrays(backward, set())) if id(base) not in not_counted}
    return sum(base.nbytes for base in memory.values())


def _memory(array: ndarray) -> ndarray:
    while isinstance(array.base, ndarray):
        array = array.base
    return array


def _filled(cells: tuple[CellType, ...]) -> Iterator[object]:
    """The contents of closure cells, without empty cells, which belong to variables that were never assigned."""
    for cell in cells:
        with suppress(ValueError):
            yield cell.cell_contents


def _arrays(held: object, seen: set[int]) -> Iterator[ndarray]:
    """Every array that can be reached from an object through closures, containers and attributes."""
    if id(held) in seen:
        return
    seen.add(id(held))
    if isinstance(held, ndarray):
        yield held
        return
    if isinstance(held, MethodType):
        inside = [held.__self__]
    elif isinstance(held, FunctionType):
        inside = [*_filled(held.__closure__ or ()), *(held.__defaults__ or ())]
    elif isinstance(held, dict):
        inside = list(held.values())
    elif isinstance(held, (list, tuple, set)):
        inside = list(held)
    elif type(held).__module__.startswith("scratchformer"):
        inside = list(getattr(held, "__dict__", {}).values())
    else:
        inside = []
    for part in inside:
        yield from _arrays(part, seen)
