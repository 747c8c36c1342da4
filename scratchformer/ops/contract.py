"""What `@op` adds to an op: checks of its arguments and of the incoming gradient, and an output that cannot change."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from operator import attrgetter
from typing import Any, TypeVar, get_args

import numpy as np
from jaxtyping import Inexact, Integer, Real
from numpy import ndarray

Backward = Callable[..., Any]
"""Takes the gradient of a scalar loss with respect to an op's output; returns the gradients of the op's inputs."""

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Kind = tuple[type, np.dtype, tuple[int, ...]]
kind_of = attrgetter("__class__", "dtype", "shape")
"""The kind of an array: its class, dtype and shape. The checks of this module look at nothing else."""

MOST_KNOWN = 4096
"""How many combinations of kinds an op remembers as checked before it starts anew."""

ACCEPTED = {
    Inexact: ("fc", "a floating array"),
    Integer: ("iu", "an integer array"),
    Real: ("iuf", "an integer or floating array"),
}
"""For each type of annotation: the kinds of dtypes that it accepts, as NumPy's letters, and its name in messages."""


@dataclass(frozen=True)
class ArrayArgument:
    """An array in the signature of an op, as its annotation describes it, say `Inexact[ndarray, "*batch n"]`."""

    name: str
    letters: str
    described: str
    axes: tuple[str, ...]
    """Names from left to right. `*batch` comes first and stands for any number of axes; a lone `...` allows any."""
    is_optional: bool


def op(function: FunctionT) -> FunctionT:
    """Makes an op of a function that returns its output and its backward: adds the checks that all ops share.

    - Before any work, the arrays that lead the signature are checked against their annotations. Each must be a plain
      NumPy array. All floating ones must have the same dtype, and at least one axis. Axes of the same name must have
      the same length.
    - An output that backward keeps becomes read-only, so that an in-place update by the caller fails.
    - Backward accepts only a gradient of the output's dtype and shape. The backward of a loss accepts a number, 1 by
      default.

    Raises TypeError for another type or dtype and ValueError for another shape, naming the op and the argument.
    """
    name, arguments = function.__name__, array_arguments(function)
    count = len(arguments)
    known: set[tuple[Kind | None, ...]] = set()  # most calls repeat kinds that were checked before

    @wraps(function)
    def checked(*args: Any, **options: Any) -> tuple[Any, Backward]:
        if len(args) < count:
            args = in_order(name, arguments, args, options)
        try:
            kinds = tuple([None if array is None else kind_of(array) for array in args[:count]])
        except AttributeError:
            refuse_what_is_no_array(name, arguments, args)
        if kinds not in known:
            check_kinds(name, arguments, kinds)
            if len(known) == MOST_KNOWN:
                known.clear()
            known.add(kinds)
        y, backward = function(*args, **options)
        return y, checked_backward(name, y, backward)

    return checked  # type: ignore[return-value]


def checked_backward(op: str, y: Any, backward: Backward) -> Backward:
    """Adds a check of the incoming gradient to `backward`, and makes `y` read-only if `backward` keeps it.

    The check keeps the kind of `y` but not `y` itself, which may be freed if `backward` does not need it.
    """
    kind = kind_of(y)
    if not kind[2]:
        return loss_backward(op, y.dtype, backward)
    for cell in backward.__closure__ or ():
        if cell.cell_contents is y:
            y.flags.writeable = False
    is_complex = y.dtype.kind == "c"

    def checked(dy: ndarray) -> Any:
        try:
            fits = kind_of(dy) == kind
        except AttributeError:
            fits = False
        if not fits or is_complex:
            check_gradient(op, backward, dy, *kind[1:])
        return backward(dy)

    return checked


def loss_backward(op: str, dtype: np.dtype, backward: Backward) -> Backward:
    """The same for a loss, whose incoming gradient is a number."""

    def checked(dloss: float = 1.0) -> Any:
        if np.ndim(dloss):
            raise ValueError(f"{op}: dloss must be a number, got shape {np.shape(dloss)}")
        if dtype.kind == "c":
            refuse_complex(op, dtype)
        return backward(dloss)

    return checked


def array_arguments(function: Callable[..., Any]) -> tuple[ArrayArgument, ...]:
    """The arrays that lead a signature, up to the first argument whose annotation is not in `ACCEPTED`."""
    found = []
    for name, annotation in function.__annotations__.items():
        array, *none = get_args(annotation) or (annotation,)
        dtype = getattr(array, "dtype", None)
        if name == "return" or dtype not in ACCEPTED:
            break
        found.append(ArrayArgument(name, *ACCEPTED[dtype], tuple(array.dim_str.split()), bool(none)))
    return tuple(found)


def in_order(op: str, arguments: tuple[ArrayArgument, ...], args: tuple, options: dict[str, Any]) -> tuple:
    """All array arguments in the order of the signature. Moves those that were given by name out of `options`."""
    for argument in arguments[len(args) :]:
        if argument.name not in options and not argument.is_optional:
            raise TypeError(f"{op}: {argument.name} is missing, expected {argument.described}")
        args = (*args, options.pop(argument.name, None))
    return args


def check_kinds(op: str, arguments: tuple[ArrayArgument, ...], kinds: tuple[Kind | None, ...]) -> None:
    """Raises TypeError or ValueError unless arrays of these kinds fit the annotations."""
    floating: tuple[np.dtype, str] | None = None
    known: dict[str, tuple[Any, str]] = {}
    for argument, kind in zip(arguments, kinds, strict=True):
        if kind is None and argument.is_optional:
            continue
        dtype, shape = check_plain(op, argument.name, kind, argument.letters, argument.described)
        if argument.letters == "fc":
            expected, first = floating = floating or (dtype, argument.name)
            if dtype != expected:
                raise TypeError(f"{op}: {argument.name} is {dtype}, {first} is {expected}; expected one dtype")
        if argument.axes != ("...",):
            check_axes(op, argument, shape, known)


def check_plain(
    op: str, name: str, kind: Kind | None, letters: str, described: str
) -> tuple[np.dtype, tuple[int, ...]]:
    """Returns dtype and shape. Raises TypeError for a subclass, a foreign byte order, or a dtype of another kind."""
    if kind is None or kind[0] not in (ndarray, np.memmap):
        raise TypeError(f"{op}: {name} must be {described}, got {'None' if kind is None else kind[0].__name__}")
    _, dtype, shape = kind
    if dtype == np.float16:
        raise TypeError(f"{op}: {name} is float16, in which sums overflow; expected float32 or wider")
    if dtype.kind not in letters or not dtype.isnative:
        raise TypeError(f"{op}: {name} must be {described}, got {dtype}")
    return dtype, shape


def check_axes(op: str, argument: ArrayArgument, shape: tuple[int, ...], known: dict[str, tuple[Any, str]]) -> None:
    """Raises ValueError unless the number of axes fits the annotation, and their lengths those of `known` axes."""
    leads = argument.axes[:1] if argument.axes[0].startswith("*") else ()
    names = argument.axes[len(leads) :]
    least = max(len(names), 1 if argument.letters == "fc" else 0)
    spelled = f"({', '.join(argument.axes)}{',' if len(argument.axes) == 1 else ''})"
    if leads and len(shape) < least:
        raise ValueError(f"{op}: {argument.name} must have at least {least} dimension(s), got shape {shape}")
    if not leads and len(shape) != len(names):
        raise ValueError(f"{op}: {argument.name} must have shape {spelled}, got {shape}")
    start = len(shape) - len(names)
    lengths = (shape[:start], *shape[start:]) if leads else shape
    for axis, length in zip(argument.axes, lengths, strict=True):
        expected, first = known.setdefault(axis, (length, f"{argument.name} of shape {shape}"))
        if length != expected:
            raise ValueError(f"{op}: {axis} is {expected} in {first}, but {length} in {argument.name} of shape {shape}")


def check_gradient(op: str, backward: Backward, dy: Any, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Raises TypeError or ValueError unless `dy` is a real array of the output's dtype and shape."""
    name = backward.__code__.co_varnames[0]
    if dtype.kind == "c":
        refuse_complex(op, dtype)
    if not isinstance(dy, ndarray):
        raise TypeError(f"{op}: {name} must be an array, got {type(dy).__name__}")
    if dy.dtype != dtype:
        raise TypeError(f"{op}: {name} is {dy.dtype}, the output is {dtype}; expected one dtype")
    if dy.shape != shape:
        raise ValueError(f"{op}: {name} has shape {dy.shape}, expected {shape}, the shape of the output")


def refuse_complex(op: str, dtype: np.dtype) -> None:
    raise TypeError(f"{op}: backward takes real inputs, got {dtype}; complex ones are for the forward pass alone")


def refuse_what_is_no_array(op: str, arguments: tuple[ArrayArgument, ...], args: tuple) -> None:
    for argument, array in zip(arguments, args, strict=False):
        if not isinstance(array, ndarray | np.generic) and not (array is None and argument.is_optional):
            raise TypeError(f"{op}: {argument.name} must be {argument.described}, got {type(array).__name__}")
