from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.gradcheck.subjects.again import written_call
from scratchformer.gradcheck.subjects.misuse import (
    check_arguments,
    check_tensors,
    copy_of_layer,
    entries,
    is_floating,
    output_and_backward,
    parameters_of,
    why_left_out,
)
from scratchformer.gradcheck.subjects.of_op import as_dtype, named, on_other_inputs
from scratchformer.gradcheck.subjects.subject import Gradients, Prepare, Starts, Subject


def layer_subject(
    layer: Any, *arguments: Any, name: str | None = None, call: Callable[..., Any] | None = None, **options: Any
) -> Subject:
    """A subject from a layer: what its call returns, differentiated by its floating inputs and by its parameters.

    An input that is called as a parameter is goes under the name "x (input)".

    Args:
        layer: with `parameters()`, a mapping from names to objects with `.value` and `.grad`, and `astype(dtype)`.
        arguments, options: of the call.
        call: `call(layer, *arguments, **options)`, where calling the layer itself is not what is to be tested.
    """
    name = name or type(layer).__name__
    of_layer = parameters_of(name, layer)
    given = named(layer, arguments) if call is None else named(call, arguments, skipped=1)
    given = {f"{key} (input)" if key in of_layer else key: argument for key, argument in given.items()}
    check_arguments(name, layer if call is None else call, given)
    left_out = why_left_out(given, options)
    written = written_call("check_layer", f"<the same {type(layer).__name__}>", given, options)

    def at(dtype: DTypeLike, prepare: Prepare = np.array) -> Subject:
        twin = copy_of_layer(name, layer, dtype)
        cast = as_dtype(given, dtype, prepare)
        inputs = {key: x for key, x in cast.items() if is_floating(x)}
        parameters = parameters_of(name, twin)

        def output(values: Mapping[str, Any]) -> tuple[Any, Any]:
            called = twin(*values.values(), **options) if call is None else call(twin, *values.values(), **options)
            return output_and_backward(name, called)

        def run(values: Mapping[str, Any]) -> tuple[Any, Gradients]:
            y, backward = output(values)

            def gradients(dy: Any) -> dict[str, ndarray]:
                for parameter in parameters.values():
                    parameter.grad[...] = 0
                returned = dict(zip(inputs, entries(name, backward(dy), inputs, left_out), strict=True))
                return returned | {key: parameter.grad.copy() for key, parameter in parameters.items()}

            return y, gradients

        def accumulate(dy: Any, starts: Starts) -> tuple[dict[str, ndarray], dict[str, ndarray]]:
            _, backward = output(cast)
            for key, parameter in parameters.items():
                parameter.grad[...] = starts.get(key, 0.0)
            before = {key: parameter.grad.copy() for key, parameter in parameters.items()}
            backward(dy)
            return before, {key: parameter.grad.copy() for key, parameter in parameters.items()}

        return Subject(
            name,
            inputs | {key: parameter.value for key, parameter in parameters.items()},
            lambda: run(cast),
            at,
            is_pure=False,
            elsewhere=lambda: on_other_inputs(run, cast),
            accumulate=accumulate if parameters else None,
            call=written,
        )

    subject = at(np.float64)
    check_tensors(name, subject.tensors)
    return subject
