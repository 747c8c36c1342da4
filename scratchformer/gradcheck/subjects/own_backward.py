"""A backward that stands apart from its forward, and takes what forward kept."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scratchformer.gradcheck.subjects.arguments import named_arguments
from scratchformer.gradcheck.subjects.places import RATES

KEPT = ("cache", "ctx", "context", "saved", "residuals", "res", "memory", "tape", "state")


def with_own_backward(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """An op whose backward is another function.

    Of several results of forward the last is what it kept. Backward gets the cotangents and what was kept, or the
    arguments of forward that it names; see `called`.
    """

    def op(*arguments: Any, **options: Any) -> tuple[Any, Callable[..., Any]]:
        returned = forward(*arguments, **options)
        named = named_arguments(forward, arguments) | options
        if not isinstance(returned, tuple) or len(returned) < 2:
            return returned, lambda dy: called(backward, named, [dy], returned)
        *outputs, kept = returned
        y = outputs[0] if len(outputs) == 1 else tuple(outputs)
        return y, lambda dy: called(backward, named, [dy] if len(outputs) == 1 else list(dy), kept)

    return op


class Context:
    """What a forward with a first argument `ctx` keeps for its backward, as attributes or by `save_for_backward`."""

    saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *kept: Any) -> None:
        self.saved_tensors = kept


def with_context(function: Any) -> Callable[..., Any] | None:
    """An op from a class with the functions `forward(ctx, ...)` and `backward(ctx, dy)`; None if it is none."""
    forward, backward = (getattr(function, method, None) for method in ("forward", "backward"))
    if not (callable(forward) and callable(backward)):
        return None
    first = next(iter(inspect.signature(forward).parameters), "")
    if first not in ("ctx", "context"):
        return None

    def op(*arguments: Any, **options: Any) -> tuple[Any, Callable[..., Any]]:
        context = Context()
        return forward(context, *arguments, **options), lambda *cotangents: backward(context, *cotangents)

    return op


def called(
    backward: Callable[..., Any], arguments: Mapping[str, Any], cotangents: Sequence[Any], kept: Any, rate: str = ""
) -> Any:
    """What backward returns; each of its parameters gets what its name or its place says.

    - One that is named as an argument of forward gets this argument.
    - A learning rate, such as `lr`, gets 1.
    - The others get the cotangents, one after the other, and then what forward kept, or else its output.

    Args:
        backward: the function.
        arguments: of forward, by name.
        cotangents: one for each output.
        kept: by forward, or its output.
        rate: the name of the learning rate, if it is an unusual one.
    """
    try:
        parameters = list(inspect.signature(backward).parameters.values())
    except (TypeError, ValueError):  # a built-in function without a signature
        return backward(*cotangents, kept)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return backward(*cotangents, kept)
    names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    given: dict[str, Any] = {name: 1.0 for name in names if name in RATES or name == rate}
    given |= {name: kept for name in needed if name in KEPT and name not in arguments}
    free = [name for name in needed if name not in given]
    if len(free) != 1:  # one alone is the cotangent, whatever its name
        given |= {name: arguments[name] for name in free if name in arguments}
    free = [name for name in needed if name not in given]
    given |= dict(zip(free, [*cotangents, kept], strict=False))
    positional = [p for p in parameters if p.kind is not p.VAR_KEYWORD and p.name in given]
    by_place = [given[p.name] for p in positional if p.kind is p.POSITIONAL_ONLY]
    return backward(*by_place, **{p.name: given[p.name] for p in positional if p.kind is not p.POSITIONAL_ONLY})


def takes_cotangent(backward: Callable[..., Any], arguments: Mapping[str, Any]) -> bool:
    """Whether backward needs anything beside the arguments of forward."""
    try:
        parameters = inspect.signature(backward).parameters.values()
    except (TypeError, ValueError):
        return True
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    return bool(needed) and set(needed) != set(arguments)
