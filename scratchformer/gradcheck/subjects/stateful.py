"""Objects that keep their parameters, their gradients and what backward needs as attributes."""

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subjects.arguments import check_arguments, check_tensors, floating, named_arguments
from scratchformer.gradcheck.subjects.copying import copied, uncopied
from scratchformer.gradcheck.subjects.op import OpSubject
from scratchformer.gradcheck.subjects.own_backward import KEPT, RATES, called, takes_cotangent
from scratchformer.gradcheck.subjects.places import Place, arrays_of, found_at, gradient_place, written
from scratchformer.gradcheck.subjects.returned import fitted, misfit_of, required, scaled
from scratchformer.gradcheck.subjects.source_text import call_text
from scratchformer.gradcheck.subjects.subject import Call
from scratchformer.gradcheck.subjects.trees import as_array, is_floating, is_tree, leaves
from scratchformer.gradcheck.subjects.wording import quoted

FORWARDS = ("forward", "__call__", "forward_pass", "fprop", "feedforward", "call", "apply")
BACKWARDS = ("backward", "backward_pass", "bprop", "backprop", "backpropagate", "back", "gradient", "grad")
_draws = threading.Lock()
"""Held while forward runs, as NumPy's global generator is given a seed for it."""


@dataclass(frozen=True)
class Conventions:
    """How an object is used, and where its numbers are.

    Attributes:
        forward, backward: the names of its methods; an empty backward if forward returns a loss and its gradients.
        rate: the name of a learning rate inside of backward, if it is an unusual one.
        parameters: the place of each parameter, by name.
        gradients: the place of each gradient, below the object or, as "returned", in what backward returns. None
            if backward takes it from the parameter, at a learning rate of 1.
    """

    forward: str
    backward: str
    rate: str = ""
    parameters: Mapping[str, Place] = field(default_factory=dict)
    gradients: Mapping[str, Place | None] = field(default_factory=dict)


class StatefulOp:
    """An object as an op without state: every call works on copies of it.

    Its arguments are those of forward, and then the parameters. Its gradients are those of the arguments, as backward
    returns them, and then those of the parameters, which are set to zero before.
    """

    def __init__(self, owner: Any, conventions: Conventions, names: Sequence[str]) -> None:
        self.owner, self.conventions, self.names = owner, conventions, names

    def __call__(self, *arguments: Any, **options: Any) -> tuple[Any, Callable[..., Any]]:
        inputs, parameters = arguments[: len(self.names)], arguments[len(self.names) :]
        first = next(iter([*parameters, *floating(dict(zip(self.names, inputs, strict=True))).values()]))
        used, y, kept = self.forward(inputs, dict(zip(self.conventions.parameters, parameters, strict=True)), options)

        def backward(dy: Any) -> tuple[Any, ...]:
            cotangents = list(dy) if isinstance(y, tuple) else [dy]
            after, returned = self.backward(used, inputs, options, y, kept, cotangents)
            scale = dy if not self.takes_cotangent(used, inputs, options, y) else 1.0
            found = []
            for name, before in zip(self.conventions.parameters, parameters, strict=True):
                place = self.conventions.gradients[name]
                if place is None:
                    found.append(before - found_at(after, self.conventions.parameters[name]))
                else:
                    dx = found_at({"returned": returned} if place[0] == (False, "returned") else after, place)
                    found.append(None if dx is None else scale * as_array(dx))
            return (*self._of_inputs(returned, inputs, first, scale), *found)

        return y, backward

    def forward(
        self, inputs: Sequence[Any], parameters: Mapping[str, ndarray], options: Mapping[str, Any]
    ) -> tuple[Any, Any, Any]:
        """A copy that forward has run on, its output, and what else it returned."""
        given = [*parameters.values(), *floating(dict(zip(self.names, inputs, strict=True))).values()]
        used = copied(self.owner, {self.conventions.parameters[name]: x for name, x in parameters.items()}, given[0].dtype)
        _at_rate_1(used)
        with _draws:
            state = np.random.get_state()  # noqa: NPY002
            np.random.seed(0)  # noqa: NPY002
            try:
                returned = getattr(used, self.conventions.forward)(*inputs, **options)
            finally:
                np.random.set_state(state)  # noqa: NPY002
        y, kept = self._output(used, returned)
        return used, y, kept

    def backward(
        self, used: Any, inputs: Sequence[Any], options: Mapping[str, Any], y: Any, kept: Any, cotangents: Sequence[Any]
    ) -> tuple[Any, Any]:
        """A copy that backward has run on, and what that returned."""
        after, kept, y = copy.deepcopy((used, kept, y), uncopied(used))
        for place in self.conventions.gradients.values():
            dx = found_at(after, place) if place is not None else None
            if isinstance(dx, ndarray) and dx.flags.writeable:
                dx[...] = 0
        if not self.conventions.backward:
            return after, kept
        method = getattr(after, self.conventions.backward)
        if not self.takes_cotangent(used, inputs, options, y):
            cotangents = []
        named = dict(zip(self.names, inputs, strict=True)) | options
        return after, called(method, named, cotangents, y if kept is None else kept, self.conventions.rate)

    def takes_cotangent(self, used: Any, inputs: Sequence[Any], options: Mapping[str, Any], y: Any) -> bool:
        """Whether backward takes the gradient of its output; that of a loss need not, and begins with 1 then."""
        if not self.conventions.backward:
            return False
        method = getattr(used, self.conventions.backward)
        named = dict(zip(self.names, inputs, strict=True)) | options
        return bool(np.ndim(y) or is_tree(y)) or (required(method) != 0 and takes_cotangent(method, named))

    def _output(self, used: Any, returned: Any) -> tuple[Any, Any]:
        """The output, or several, and what forward keeps: a last result that is no array, or is called a cache."""
        if not isinstance(returned, tuple) or len(returned) < 2:
            return returned, None
        *outputs, last = returned
        y = outputs[0] if len(outputs) == 1 else tuple(outputs)
        if not self.conventions.backward:
            return y, last
        method = getattr(used, self.conventions.backward)
        names = getattr(getattr(method, "__code__", None), "co_varnames", ())
        is_output = is_floating(last) and not any(name in KEPT for name in names)
        return (returned, None) if is_output else (y, last)

    def _of_inputs(self, returned: Any, inputs: Sequence[Any], like: ndarray, scale: Any) -> list[Any]:
        """The gradients of the arguments, None for those that backward returns none of."""
        places = arrays_of({"returned": returned}) if is_tree(returned) else {}
        taken = {place for place in self.conventions.gradients.values() if place is not None}
        if isinstance(returned, Mapping):
            found = []
            for name, x in zip(self.names, inputs, strict=True):
                place = gradient_place(((True, name),), x.shape, places) if is_floating(x) else None
                found.append(None if place is None or place in taken else scale * found_at({"returned": returned}, place))
            return found
        items = list(returned) if isinstance(returned, tuple | list) else [returned]
        free = [dx for i, dx in enumerate(items) if not any(place[:2] == _returned(i) for place in taken)]
        is_differentiable = [bool(floating({"": x})) for x in inputs]
        if len(free) == len(inputs) != sum(is_differentiable):
            free = [dx for dx, is_one in zip(free, is_differentiable, strict=True) if is_one]
        given = iter([None if dx is None else scaled(scale, dx) for dx in free])
        return [next(given, None) if is_one else None for is_one in is_differentiable]


def _returned(i: int) -> Place:
    return ((False, "returned"), (False, i))


def _at_rate_1(owner: Any) -> None:
    for name in RATES:
        if isinstance(getattr(owner, name, None), float | int):
            setattr(owner, name, 1.0)


def stateful_subject(
    owner: Any,
    arguments: Sequence[Any],
    options: Mapping[str, Any],
    forward: str = "",
    backward: str = "",
    gradients: Mapping[str, str] | None = None,
    learning_rate: str = "",
    name: str | None = None,
) -> tuple[OpSubject, list[str]]:
    """An object as a subject, and remarks: what is not differentiated, although the output depends on it.

    Args: as for `check_object`.

    Raises TypeError for an object without such methods, or a gradient that is not there.
    """
    name = name or type(owner).__name__
    forward = forward or _method(name, owner, FORWARDS, "forward")
    backward = backward or next((method for method in BACKWARDS if callable(getattr(owner, method, None))), "")
    for method in filter(None, (forward, backward)):
        if not callable(getattr(owner, method, None)):
            raise TypeError(f"{name}: an object needs the method {method}(), {type(owner).__name__} has none")
    function = getattr(owner, forward)
    named = named_arguments(function, arguments)
    check_arguments(name, function, named)
    try:
        base = copied(owner, {}, np.float64)
    except Exception as error:
        raise TypeError(f"{name}: an object is copied for each call, and this one cannot be: {error}") from error
    conventions = Conventions(forward, backward, learning_rate)
    conventions, remarks = _with_parameters(name, base, conventions, named, options, gradients or {})
    values = {key: found_at(base, place) for key, place in conventions.parameters.items()}
    named = {f"{key} (input)" if key in values else key: x for key, x in named.items()}
    text = call_text("check_object", f"<the same {type(owner).__name__}>", named, options)
    op = StatefulOp(base, conventions, list(named_arguments(function, arguments)))
    subject = OpSubject(Call(name, op, named | values, options, text))
    check_tensors(name, subject.tensors)
    return subject, remarks


def _method(name: str, owner: Any, names: Sequence[str], role: str) -> str:
    found = next((method for method in names if callable(getattr(owner, method, None))), None)
    if found is None:
        raise TypeError(f'{name}: it has none of the methods {quoted(names)}; give the name, {role}="..."')
    return found


def _with_parameters(
    name: str,
    base: Any,
    conventions: Conventions,
    named: Mapping[str, Any],
    options: Mapping[str, Any],
    chosen: Mapping[str, str],
) -> tuple[Conventions, list[str]]:
    """The conventions with the places of parameters and gradients, as one call shows them; and remarks."""
    op = StatefulOp(base, conventions, list(named))
    inputs = [x.astype(np.float64) if is_floating(x) else x for x in named.values()]
    held = arrays_of(base)
    used, y, kept = op.forward(inputs, {}, options) if floating(named) else _forward_of(op, inputs, held, options)
    generator = np.random.default_rng(0)
    parts = list(y) if isinstance(y, tuple | list) else [y]
    cotangents = [np.asarray(generator.standard_normal(np.shape(part)))[()] for part in parts]
    after, returned = op.backward(used, inputs, options, y, kept, cotangents)
    arrays = arrays_of(after) | {
        place: x for place, x in arrays_of({"returned": returned}).items() if len(place) > 1
    }
    by_text = {written(place): place for place in [*held, *arrays]}
    if unknown := [text for pair in chosen.items() for text in pair if text not in by_text]:
        raise TypeError(f"{name}: gradients names {unknown[0]!r}, there are {quoted(by_text)}")
    parameters: dict[str, Place] = {}
    places: dict[str, Place | None] = {}
    remarks = []
    for place, x in held.items():
        text = written(place)
        if text not in chosen and not _matters(op, place, x, inputs, options, y):
            continue
        found = by_text[chosen[text]] if text in chosen else gradient_place(place, x.shape, arrays)
        now = found_at(after, place)
        is_stepped = isinstance(now, ndarray) and now.shape == x.shape and not np.array_equal(now, x, equal_nan=True)
        if found is not None or is_stepped:
            parameters[text], places[text] = place, found
        else:
            remarks.append(f"not differentiated: {text}, no gradient of it was found")
    _take_returned(parameters, places, remarks, held, inputs, returned)
    hint = 'say where it is kept: gradients={"W": "dW"}'
    remarks = [f"{said}; {hint}" for said in remarks]
    return Conventions(conventions.forward, conventions.backward, conventions.rate, parameters, places), remarks


def _forward_of(op: StatefulOp, inputs: Sequence[Any], held: Mapping[Place, ndarray], options: Mapping[str, Any]) -> Any:
    """Forward of an object without floating arguments, such as an embedding."""
    first = dict(list(held.items())[:1])
    whole = Conventions(op.conventions.forward, op.conventions.backward, op.conventions.rate, {"": next(iter(first))})
    return StatefulOp(op.owner, whole, op.names).forward(inputs, {"": next(iter(first.values()))}, options)


def _matters(
    op: StatefulOp, place: Place, x: ndarray, inputs: Sequence[Any], options: Mapping[str, Any], y: Any
) -> bool:
    """Whether the output depends on an array of the object."""
    moved = x + np.random.default_rng(1).standard_normal(x.shape) * np.maximum(np.abs(x), 0.5)
    whole = Conventions(op.conventions.forward, op.conventions.backward, op.conventions.rate, {"": place})
    try:
        there = StatefulOp(op.owner, whole, op.names).forward(inputs, {"": moved}, options)[1]
    except Exception:  # outside of its domain
        return True
    before, after = ([np.asarray(as_array(part)) for part in leaves("", part).values()] for part in (y, there))
    return not all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(before, after, strict=True))


def _take_returned(
    parameters: dict[str, Place],
    places: dict[str, Place | None],
    remarks: list[str],
    held: Mapping[Place, ndarray],
    inputs: Sequence[Any],
    returned: Any,
) -> None:
    """Parameters without a gradient elsewhere may have theirs in a tuple after those of the arguments, in order."""
    if not isinstance(returned, tuple | list) or not remarks:
        return
    missing = [text for text in map(written, held) if any(said.startswith(f"not differentiated: {text},") for said in remarks)]
    start = len(returned) - len(missing)
    by_text = {written(place): place for place in held}
    if start not in (0, len(inputs), sum(map(is_floating, inputs))):
        return
    for i, text in enumerate(missing, start):
        if misfit_of(text, as_array(returned[i]), held[by_text[text]].shape):
            return
    for i, text in enumerate(missing, start):
        parameters[text], places[text] = by_text[text], _returned(i)
    remarks.clear()
