"""Objects that keep their parameters, their gradients and what backward needs as attributes."""

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subjects.arguments import floating
from scratchformer.gradcheck.subjects.copying import copied, uncopied
from scratchformer.gradcheck.subjects.own_backward import KEPT, called, takes_cotangent
from scratchformer.gradcheck.subjects.places import RATES, Place, arrays_of, found_at, gradient_place
from scratchformer.gradcheck.subjects.returned import required, scaled
from scratchformer.gradcheck.subjects.trees import as_array, is_floating, is_tree

OUTPUTS = ("output", "out", "outputs", "y", "activations", "a")
"""Where an object keeps its output if forward returns nothing."""
_draws = threading.Lock()
"""Held while forward runs, as NumPy's global generator is given a seed for it."""


@dataclass(frozen=True)
class Conventions:
    """How an object is used, and where its numbers are.

    Attributes:
        forward, backward: the names of its methods; an empty backward if forward returns a loss and its gradients.
        rate: the name of a learning rate inside of backward, if it is an unusual one.
        step: the name of a method that steps the parameters after backward, at a learning rate.
        parameters: the place of each parameter, by name.
        gradients: the place of each gradient, below the object or, as "returned", in what backward returns. None
            if backward takes it from the parameter, at a learning rate of 1.
    """

    forward: str
    backward: str
    rate: str = ""
    step: str = ""
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
            return (*self._of_inputs(after, returned, inputs, scale), *found)

        return y, backward

    def forward(
        self, inputs: Sequence[Any], parameters: Mapping[str, ndarray], options: Mapping[str, Any]
    ) -> tuple[Any, Any, Any]:
        """A copy that forward has run on, its output, and what else it returned."""
        given = [*parameters.values(), *floating(dict(zip(self.names, inputs, strict=True))).values()]
        replaced = {self.conventions.parameters[name]: x for name, x in parameters.items()}
        used = copied(self.owner, replaced, given[0].dtype if given else np.float64)
        _at_rate_1(used)
        with _draws:
            state = np.random.get_state()  # noqa: NPY002
            np.random.seed(0)  # noqa: NPY002
            try:
                returned = getattr(used, self.conventions.forward)(*inputs, **options)
            finally:
                np.random.set_state(state)  # noqa: NPY002
        if returned is None:
            returned = next((getattr(used, name) for name in OUTPUTS if hasattr(used, name)), None)
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
        named = dict(zip(self.names, inputs, strict=True)) | dict(options)
        returned = called(method, named, cotangents, y if kept is None else kept, self.conventions.rate)
        if self.conventions.step:
            getattr(after, self.conventions.step)(1.0)
        return after, returned

    def takes_cotangent(self, used: Any, inputs: Sequence[Any], options: Mapping[str, Any], y: Any) -> bool:
        """Whether backward takes the gradient of its output; that of a loss need not, and begins with 1 then."""
        if not self.conventions.backward:
            return False
        method = getattr(used, self.conventions.backward)
        named = dict(zip(self.names, inputs, strict=True)) | dict(options)
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

    def _of_inputs(self, after: Any, returned: Any, inputs: Sequence[Any], scale: Any) -> list[Any]:
        """The gradients of the arguments, None for those that backward neither returns nor keeps."""
        taken = {place for place in self.conventions.gradients.values() if place is not None}
        if returned is None or isinstance(returned, Mapping):
            root = after if returned is None else {"returned": returned}
            arrays = {place: x for place, x in arrays_of(root).items() if place not in taken}
            found = []
            for name, x in zip(self.names, inputs, strict=True):
                place = gradient_place(((True, name),), x.shape, arrays) if is_floating(x) else None
                found.append(None if place is None else scale * found_at(root, place))
            return found
        items = list(returned) if isinstance(returned, tuple | list) else [returned]
        free = [dx for i, dx in enumerate(items) if not any(place[:2] == returned_at(i) for place in taken)]
        is_differentiable = [bool(floating({"": x})) for x in inputs]
        if len(free) == len(inputs) != sum(is_differentiable):
            free = [dx for dx, is_one in zip(free, is_differentiable, strict=True) if is_one]
        given = iter([None if dx is None else scaled(scale, dx) for dx in free])
        return [next(given, None) if is_one else None for is_one in is_differentiable]


def returned_at(i: int) -> Place:
    return ((False, "returned"), (False, i))


def _at_rate_1(owner: Any) -> None:
    for name in RATES:
        if isinstance(getattr(owner, name, None), float | int):
            setattr(owner, name, 1.0)
