"""What the tested function and its backward return, and the errors if that is something else."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subjects.arguments import floating
from scratchformer.gradcheck.subjects.names import best_fit
from scratchformer.gradcheck.subjects.outputs import checked_output, packed
from scratchformer.gradcheck.subjects.trees import as_array, floating_leaves, is_tree, leaves, mapped
from scratchformer.gradcheck.subjects.wording import described, quoted

NOT_RETURNED = "backward returned no gradient of it"


@dataclass
class Remarks:
    """What is to be said of the gradients that a backward returned, by tensor.

    Attributes:
        misfits: why it cannot be the gradient of this tensor.
        reshaped: its shape, if that is the tensor's but for axes of length 1.
        not_differentiated: why there is none.
        is_complete: whether the first call is over. What it found holds for all that follow.
    """

    misfits: dict[str, str] = field(default_factory=dict)
    reshaped: dict[str, str] = field(default_factory=dict)
    not_differentiated: dict[str, str] = field(default_factory=dict)
    is_complete: bool = False


def output_and_backward(name: str, returned: Any) -> tuple[Any, Callable[..., Any]]:
    """What a forward pass returned: its output, of several one array that holds all, and a function.

    That takes the cotangent of this output. A loss may come with its gradients in place of a function.

    Raises TypeError for anything else.
    """
    is_tuple = isinstance(returned, tuple)
    if (
        is_tuple
        and len(returned) == 2
        and isinstance(returned[0], ndarray)
        and returned[0].ndim
        and callable(returned[1])
    ):
        return checked_output(name, returned[0]), returned[1]
    if is_tuple and len(returned) >= 2 and callable(returned[-1]):
        outputs, backward = returned[:-1], returned[-1]
        y, unpacked = packed(name, outputs[0] if len(outputs) == 1 else outputs)
        count = len(outputs[0]) if len(outputs) == 1 and isinstance(outputs[0], tuple | list) else len(outputs)
        return y, lambda dy: _called(backward, y, unpacked(dy), count)
    if _is_loss_with_gradients(returned):
        loss, gradients = packed(name, returned[0])[0], returned[1] if len(returned) == 2 else returned[1:]
        return loss, lambda dy: scaled(dy, gradients)
    if is_tuple and len(returned) > 1:
        got = f"{', '.join(map(described, returned[:-1]))} and {described(returned[-1])}"
    else:
        got = type(returned).__name__
    raise TypeError(
        f"{name}: must return its output and its backward, got {got}; "
        "a backward that stands apart, and takes what forward kept, is given by backward=..."
    )


def _called(backward: Callable[..., Any], y: Any, dy: Any, count: int) -> Any:
    """What backward returns for a cotangent, or for one of each output; of a loss it may take none."""
    if not np.ndim(y) and not takes_an_argument(backward):
        return scaled(dy, backward())
    return backward(*dy) if count > 1 and required(backward) == count else backward(dy)


def takes_an_argument(function: Callable[..., Any]) -> bool:
    """Whether a function may be called with one positional argument, also where it has a default."""
    if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):  # by far the quickest way
        return bool(function.__code__.co_argcount or function.__code__.co_flags & inspect.CO_VARARGS)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in function without a signature
        return True
    return any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) for p in parameters)


def required(function: Callable[..., Any]) -> int | None:
    """How many positional arguments a function needs at least; None if that is not known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in function without a signature
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def scaled(dy: Any, gradients: Any) -> Any:
    """The gradients of a loss for a cotangent that is not 1."""
    return mapped(lambda dx: None if dx is None else dy * as_array(dx), gradients)


def _is_loss_with_gradients(returned: Any) -> bool:
    if not isinstance(returned, tuple) or len(returned) < 2 or is_tree(returned[0]) or np.ndim(as_array(returned[0])):
        return False
    held = [as_array(x) for part in returned[1:] for x in leaves("", part).values()]
    return any(isinstance(x, ndarray | np.generic) for x in held) and not any(map(callable, held))


def input_gradients(
    name: str, returned: Any, arguments: Mapping[str, Any], others: Mapping[str, str], remarks: Remarks
) -> dict[str, ndarray]:
    """The gradients that a backward returned, by floating array among the arguments.

    None stands for an argument that is not differentiated. That, and a gradient that is no real array of the
    argument's shape, goes into the remarks.

    Args:
        name: of the function, for errors.
        returned: a gradient for each argument, or for each with floating arrays; as a tuple, or a dict by their names.
        arguments: of the function.
        others: the arguments that are not differentiated, with the reasons. An error names them, as one of them may
            have been meant.
        remarks: to be added to.

    Raises TypeError for another number of gradients, or a misfit that the first call did not have.
    """
    inputs, found = floating(arguments), {}
    for tensor, dx in _by_tensor(name, returned, arguments, inputs, others).items():
        dx = _from_list(dx) if isinstance(dx, tuple | list) else as_array(dx)
        if dx is None:
            remarks.not_differentiated[tensor] = NOT_RETURNED
            continue
        shape = inputs[tensor].shape
        misfit = misfit_of(tensor, dx, shape)
        reshaped = "" if misfit or dx.shape == shape else f"the gradient of {tensor} has shape {dx.shape}, not {shape}"
        for said, known in ((misfit, remarks.misfits), (reshaped, remarks.reshaped)):
            if said and remarks.is_complete and tensor not in known:
                raise TypeError(f"{name}: {said}")
            if said:
                known[tensor] = said
        if not misfit:
            found[tensor] = fitted(dx, shape)
    remarks.is_complete = True
    return found


def _from_list(dx: Any) -> Any:
    try:
        return np.asarray(dx)
    except ValueError:  # of arrays of several shapes
        return dx


def misfit_of(tensor: str, dx: Any, shape: tuple[int, ...]) -> str:
    """Why this is no gradient of a tensor of a shape; nothing if it is one, perhaps with other axes of length 1."""
    if not isinstance(dx, ndarray | np.generic):
        return f"the gradient of {tensor} must be an array of shape {shape}, got {described(dx)}"
    if dx.dtype.kind not in "fiub":
        return f"the gradient of {tensor} must be real and floating, got {dx.dtype}"
    if dx.shape != shape and not _differs_by_axes_of_1(dx.shape, shape):
        return f"the gradient of {tensor} must be an array of shape {shape}, got shape {dx.shape}"
    return ""


def _differs_by_axes_of_1(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether only the number of leading axes of length 1 differs, so that `x - dx` is what is meant."""
    return _without_leading_1(shape) == _without_leading_1(expected)


def _without_leading_1(shape: tuple[int, ...]) -> tuple[int, ...]:
    return next((shape[i:] for i, n in enumerate(shape) if n != 1), ())


def fitted(dx: Any, shape: tuple[int, ...]) -> ndarray:
    """A gradient in the shape of its tensor; one of integers as floating numbers."""
    dx = np.asarray(dx)
    return (dx if dx.dtype.kind == "f" else dx.astype(np.float64)).reshape(shape)


def _by_tensor(
    name: str, returned: Any, arguments: Mapping[str, Any], inputs: Mapping[str, ndarray], others: Mapping[str, str]
) -> dict[str, Any]:
    """What was returned, by tensor."""
    differentiable = {top: x for top, x in arguments.items() if floating_leaves(top, x)}
    arrays = {top: x for top, x in differentiable.items() if not is_tree(x)}
    if isinstance(returned, Mapping):
        return _by_name(name, returned, differentiable)
    items = list(returned) if isinstance(returned, tuple | list) else [returned]
    given = [dx for dx in items if dx is not None]
    (sole, tree), *more = differentiable.items()
    if not more and isinstance(tree, tuple | list) and len(items) == len(tree) > 1:
        return _of_argument(name, sole, tree, items)
    is_none = [top in differentiable or dx is None for top, dx in zip(arguments, items, strict=False)]
    if given and len(items) == len(arguments) and all(is_none):
        pairs = zip(arguments.items(), items, strict=True)
        return _joined(_of_argument(name, top, x, dx) for (top, x), dx in pairs if top in differentiable)
    for tops in (differentiable, arrays):
        if given and len(given) == len(tops):
            of_tops = dict(zip(tops, given, strict=True))
            return _joined(_of_argument(name, top, x, of_tops.get(top)) for top, x in differentiable.items())
    if given and len(items) == len(inputs):
        return dict(zip(inputs, items, strict=True))
    if not more and not is_tree(tree) and isinstance(returned, list):
        return {sole: returned}
    why = "".join(f"; {other} is not differentiated, {reason}" for other, reason in others.items())
    raise TypeError(
        f"{name}: its backward returned {len(given)} gradients, expected {len(inputs)}: {quoted(inputs)}{why}; "
        "return None for an argument that has none"
    )


def _by_name(name: str, returned: Mapping[Any, Any], differentiable: Mapping[str, Any]) -> dict[str, Any]:
    """A dict of gradients, by the names of the arguments, or like the one argument that is a dict."""
    (sole, tree), *more = differentiable.items()
    if not more and isinstance(tree, Mapping):
        return _of_argument(name, sole, tree, returned)
    names = list(map(str, returned))
    for top, argument in differentiable.items():  # a dict like one of several arguments
        if isinstance(argument, Mapping) and {best_fit(str(key), names) for key in argument} >= set(names):
            others = {place: None for other, x in differentiable.items() for place in floating_leaves(other, x)}
            return others | _of_argument(name, top, argument, returned)
    keys = {top: best_fit(top, names) for top in differentiable}
    if unknown := {str(key) for key in returned} - set(keys.values()):
        raise TypeError(
            f"{name}: its backward returned a gradient {min(unknown)!r}, which fits none of {quoted(differentiable)}"
        )
    return _joined(_of_argument(name, top, x, returned.get(keys[top])) for top, x in differentiable.items())


def _of_argument(name: str, place: str, argument: Any, gradient: Any) -> dict[str, Any]:
    """The gradients of what one argument holds, from a gradient of its form."""
    held = floating_leaves(place, argument)
    if not is_tree(argument) or gradient is None or not held:
        return dict.fromkeys(held, gradient)
    if isinstance(argument, Mapping) and isinstance(gradient, Mapping):
        items: Sequence[tuple[Any, Any]] = list(argument.items())
        found = [gradient.get(key, gradient.get(best_fit(str(key), list(map(str, gradient))))) for key, _ in items]
    elif not isinstance(argument, Mapping) and isinstance(gradient, tuple | list) and len(gradient) == len(argument):
        items, found = list(enumerate(argument)), list(gradient)
    else:
        raise TypeError(
            f"{name}: the gradient of {place} must be {described(argument)} of {len(argument)} like it, "
            f"got {described(gradient)}"
        )
    pairs = zip(items, found, strict=True)
    return _joined(_of_argument(name, f"{place}[{key!r}]", x, dx) for (key, x), dx in pairs)


def _joined(parts: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for part in parts:
        whole |= part
    return whole
