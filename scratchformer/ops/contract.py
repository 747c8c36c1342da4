"""What `@op` adds to an op: checks of its arguments and of the incoming gradient, and an output that cannot change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from operator import attrgetter
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from jaxtyping import Inexact, Integer, Real
from numpy import ndarray

from scratchformer.arguments import check_axes
from scratchformer.misfits import ACCEPTED, PLAIN, misfit_of, misfit_of_dtype

Backward = Callable[..., Any]
"""Takes the gradient of a scalar loss with respect to an op's output; returns the gradients of the op's inputs."""

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Kind = tuple[type, np.dtype, tuple[int, ...]]
kind_of = attrgetter("__class__", "dtype", "shape")
"""The kind of an array: its class, dtype and shape. The checks of this module look at nothing else."""

MOST_KNOWN = 4096
"""How many combinations of kinds an op remembers as checked before it starts anew."""

LEADING = (Inexact, Integer, Real)
"""The types of annotations of the arrays that lead a signature. A mask comes after them: it has rules of its own."""


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
      the same length. What follows them must be of the type that is annotated.
    - An output that backward keeps becomes read-only, so that an in-place update by the caller fails.
    - Backward accepts only a gradient of the output's dtype and shape. The backward of a loss accepts a number, 1 by
      default.

    Raises TypeError for another type or dtype and ValueError for another shape, naming the op and the argument.
    """
    name, arguments = function.__name__, array_arguments(function)
    count = len(arguments)
    known: set[tuple[Any, ...]] = set()  # most calls repeat kinds that were checked before
    positional = function.__code__.co_varnames[: function.__code__.co_argcount]

    @wraps(function)
    def checked(*args: Any, **options: Any) -> tuple[Any, Backward]:
        if len(args) < count:
            args = in_order(name, arguments, args, options)
        kinds: list[Any] = []  # those of the arrays, then the types and names of what follows them
        try:
            for array in args[:count]:
                if array is None:
                    kinds.append(None)
                else:
                    kinds += array.__class__, array.dtype, array.shape
        except AttributeError:
            refuse_what_is_no_array(name, arguments, args)
        if len(args) > count:
            kinds += map(type, args[count:])
        if options:
            kinds += *options, *map(type, options.values())
        if (call := tuple(kinds)) not in known:
            check_kinds(name, arguments, [None if array is None else kind_of(array) for array in args[:count]])
            check_options(name, function, {**dict(zip(positional[count:], args[count:], strict=False)), **options})
            if len(known) == MOST_KNOWN:
                known.clear()
            known.add(call)
        try:
            y, backward = function(*args, **options)
        except OverflowError:  # a Python integer that no float can hold is of a type that was accepted before
            check_options(name, function, {**dict(zip(positional[count:], args[count:], strict=False)), **options})
            raise
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
        if isinstance(dloss, ndarray):
            raise ValueError(f"{op}: dloss must be a number, got shape {dloss.shape}")
        if misfit := misfit_of(dloss, float):
            raise TypeError(f"{op}: dloss must be {misfit.expected}, got {misfit.got}")
        if dtype.kind == "c":
            refuse_complex(op, dtype)
        return backward(dloss)

    return checked


def array_arguments(function: Callable[..., Any]) -> tuple[ArrayArgument, ...]:
    """The arrays that lead a signature, up to the first argument whose annotation is not in `LEADING`."""
    found = []
    for name, annotation in function.__annotations__.items():
        array, *none = get_args(annotation) or (annotation,)
        dtype = getattr(array, "dtype", None)
        if name == "return" or dtype not in LEADING:
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


def check_kinds(op: str, arguments: tuple[ArrayArgument, ...], kinds: Sequence[Kind | None]) -> None:
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
        check_axes(op, argument.name, argument.axes, shape, known, least=int(argument.letters == "fc"))


def check_plain(
    op: str, name: str, kind: Kind | None, letters: str, described: str
) -> tuple[np.dtype, tuple[int, ...]]:
    """Returns dtype and shape. Raises TypeError for a subclass, a foreign byte order, or a dtype of another kind."""
    if kind is None or kind[0] not in PLAIN:
        raise TypeError(f"{op}: {name} must be {described}, got {'None' if kind is None else kind[0].__name__}")
    if misfit := misfit_of_dtype(kind[1], letters, described):
        raise TypeError(f"{op}: {name} must be {misfit.expected}, got {misfit.got}")
    return kind[1:]


def check_options(op: str, function: Callable[..., Any], options: dict[str, Any]) -> None:
    """Raises TypeError unless the arguments after the leading arrays are of the types that are annotated.

    A mask is left to the op, as are the names that an option may have: both are checked in every call.
    """
    hints = get_type_hints(function)
    for name, option in options.items():
        if name == "mask" or name not in hints or get_origin(hints[name]) is Literal:
            continue
        if misfit := misfit_of(option, hints[name]):
            raise TypeError(f"{op}: {name} must be {misfit.expected}, got {misfit.got}")


def check_gradient(op: str, backward: Backward, dy: Any, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Raises TypeError or ValueError unless `dy` is a real array of the output's dtype and shape."""
    name = backward.__code__.co_varnames[0]
    if dtype.kind == "c":
        refuse_complex(op, dtype)
    if type(dy) not in PLAIN:
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
