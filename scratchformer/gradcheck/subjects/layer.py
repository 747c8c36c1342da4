from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import call
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.gradcheck.subjects.arguments import check_arguments, check_tensors, named_arguments
from scratchformer.gradcheck.subjects.copying import copied
from scratchformer.gradcheck.subjects.returned import fitted, input_gradients, misfit_of, output_and_backward
from scratchformer.gradcheck.subjects.source_text import call_text
from scratchformer.gradcheck.subjects.split import check_split, in_parts
from scratchformer.gradcheck.subjects.subject import Backward, Call, Gradients, Subject, Value
from scratchformer.gradcheck.subjects.wording import described


@dataclass(frozen=True)
class Held:
    """A layer's parameter, whose array is called `value` or `data`."""

    parameter: Any

    @property
    def value(self) -> Any:
        """The array; None if there is none."""
        found = [getattr(self.parameter, part, None) for part in ("value", "data")]
        return next((x for x in found if isinstance(x, ndarray)), None)

    @property
    def grad(self) -> Any:
        return self.parameter.grad

    def start(self, grad: Any) -> None:
        """Sets the gradient to a number or an array; where there is none yet, to that array, if it is one."""
        if isinstance(self.grad, ndarray):
            self.grad[...] = grad
        elif isinstance(grad, ndarray):
            self.parameter.grad = grad.copy()


def layer_subject(
    layer: Any,
    arguments: Sequence[Any],
    options: Mapping[str, Any],
    name: str | None = None,
    function: Callable[..., Any] | None = None,
    split: Mapping[str, int] | None = None,
) -> "LayerSubject":
    """A subject from `layer(*arguments, **options)`, which is differentiated by its floating inputs and its parameters.

    An input that has the name of a parameter is reported as "weight (input)".

    Args:
        layer: has `parameters()`, a mapping from names to objects with `.value` or `.data` and `.grad`, or a list of
            them. Copied by its `astype(dtype)`, or else as any object is.
        arguments, options: of the call.
        name: to report; the layer's class if none is given.
        function: `function(layer, *arguments, **options)` is tested in place of `layer(*arguments, **options)`.
        split: the number of equal parts that a tensor is cut into along its last axis.
    """
    name = name or type(layer).__name__
    parameters = parameters_of(name, layer)
    named = named_arguments(layer, arguments) if function is None else named_arguments(function, arguments, skipped=1)
    named = {f"{key} (input)" if key in parameters else key: argument for key, argument in named.items()}
    check_arguments(name, layer if function is None else function, named)
    text = call_text("check_layer", f"<the same {type(layer).__name__}>", named, options)
    whole = LayerSubject(Call(name, function or call, named, options, text), layer=layer)
    check_tensors(name, whole.tensors)
    if split is None:
        return whole
    check_split(name, split, whole.tensors)
    return LayerSubject(whole.call, layer=layer, split=split)


@dataclass(kw_only=True)
class LayerSubject(Subject):
    layer: Any
    split: Mapping[str, int] = field(default_factory=dict)

    can_be_shared = False  # each call adds to the gradients of the same parameters

    def __post_init__(self) -> None:
        self.copy, self.parameters = copy_of_layer(self.name, self.layer, self.dtype)
        super().__post_init__()

    @cached_property
    def tensors(self) -> dict[str, ndarray]:
        values = {key: parameter.value for key, parameter in self.parameters.items()}
        return in_parts(self.inputs | values, self.split)

    def run(self, arguments: Mapping[str, Any]) -> tuple[Value, Backward]:
        y, backward = self._output_and_backward(arguments)
        return y, partial(self._gradients, backward)

    def accumulate(self, dy: Value, starts: Mapping[str, ndarray]) -> tuple[Gradients, Gradients] | None:
        if not self.parameters:
            return None
        _, backward = self._output_and_backward(self.arguments)
        for key, parameter in self.parameters.items():
            parameter.start(starts.get(key, 0.0))
        before = self._parameter_gradients()
        backward(dy)
        return before, self._parameter_gradients()

    def _output_and_backward(self, arguments: Mapping[str, Any]) -> tuple[Value, Callable[..., Any]]:
        returned = self.call.function(self.copy, *arguments.values(), **self.call.options)
        return output_and_backward(self.name, returned)

    def _gradients(self, backward: Callable[..., Any], dy: Value) -> Gradients:
        for parameter in self.parameters.values():
            parameter.start(0.0)
        of_inputs = {}
        returned = backward(dy)
        if self.inputs:
            of_inputs = input_gradients(self.name, returned, self.arguments, self.call.not_differentiated, self.remarks)
        return in_parts(of_inputs | self._parameter_gradients(), self.split)

    def _parameter_gradients(self) -> Gradients:
        found = {}
        for key, parameter in self.parameters.items():
            dx = parameter.grad
            if misfit := misfit_of(key, dx, parameter.value.shape):
                self.remarks.misfits[key] = f"after backward, {misfit}"
            else:
                found[key] = fitted(dx, parameter.value.shape).copy()
        return found


def parameters_of(name: str, layer: Any) -> dict[str, Held]:
    """A layer's parameters, by name. Raises TypeError if it has no `parameters()`, or other parameters."""
    if not callable(getattr(layer, "parameters", None)):
        raise TypeError(f"{name}: a layer needs parameters(), {type(layer).__name__} has none; try check_object")
    parameters = layer.parameters()
    if isinstance(parameters, Iterable) and not isinstance(parameters, Mapping | str):
        items = list(parameters)
        parameters = {_own_name(x) or f"parameters()[{i}]": x for i, x in enumerate(items)}
    if not isinstance(parameters, Mapping):
        got = described(parameters)
        raise TypeError(f"{name}: parameters() must return a mapping from names to parameters, got {got}")
    held = {str(key): Held(parameter) for key, parameter in parameters.items()}
    for key, one in held.items():
        value, grad = one.value, getattr(one.parameter, "grad", 0)
        if value is None or not (grad is None or (isinstance(grad, ndarray) and value.shape == grad.shape)):
            raise TypeError(f"{name}: parameter {key!r} needs arrays .value (or .data) and .grad of the same shape")
    return held


def _own_name(parameter: Any) -> str:
    name = getattr(parameter, "name", "")
    return name if isinstance(name, str) else ""


def copy_of_layer(name: str, layer: Any, dtype: DTypeLike) -> tuple[Any, dict[str, Held]]:
    """`layer.astype(dtype)`, or a copy as of any object if it has none, and the parameters of the copy.

    Raises TypeError unless that is another layer, with parameters of that dtype.
    """
    if not callable(getattr(layer, "astype", None)):
        copy = copied(layer, {}, dtype)
        return copy, parameters_of(name, copy)
    copy = layer.astype(dtype)
    if copy is layer or copy is None:
        raise TypeError(f"{name}: astype must return a copy, got {'the layer itself' if copy is layer else None}")
    parameters = parameters_of(name, copy)
    for parameter_name, parameter in parameters.items():
        found = [x.dtype for x in (parameter.value, parameter.grad) if x is not None and x.dtype != dtype]
        if found:
            raise TypeError(
                f"{name}: astype({np.dtype(dtype)}) must give {parameter_name!r} that dtype, it has {found[0]}"
            )
    return copy, parameters
