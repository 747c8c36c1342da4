"""A scalar function and its gradient, written apart from each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from scratchformer.gradcheck.subjects.arguments import check_arguments, check_tensors, named_arguments
from scratchformer.gradcheck.subjects.returned import input_gradients, output_and_backward
from scratchformer.gradcheck.subjects.source_text import call_text, function_name
from scratchformer.gradcheck.subjects.subject import Backward, Call, Gradients, Subject, Value
from scratchformer.gradcheck.subjects.wording import described


def pair_subject(function: Callable[..., Any], gradient: Callable[..., Any], arguments: Sequence[Any]) -> "PairSubject":
    """A subject from `function(*arguments)`, a number, and `gradient(*arguments)`, an array or a tuple of arrays."""
    name = getattr(function, "__name__", "function")
    named = named_arguments(function, arguments)
    check_arguments(name, function, named)
    text = call_text("check_gradient", f"{function_name(function)}, {function_name(gradient)}", named, {})
    subject = PairSubject(Call(name, function, named, {}, text), gradient=gradient)
    check_tensors(name, subject.tensors)
    return subject


@dataclass(kw_only=True)
class PairSubject(Subject):
    gradient: Callable[..., Any]

    can_be_shared = True

    def run(self, arguments: Mapping[str, Any]) -> tuple[Value, Backward]:
        loss = self.call.function(*map(self.given, arguments.values()))
        if np.shape(loss):
            raise TypeError(f"{self.name}: must return a single number, got shape {np.shape(loss)}")
        return output_and_backward(self.name, (np.asarray(loss)[()], partial(self._gradients, arguments)))

    def _gradients(self, arguments: Mapping[str, Any], dloss: Value) -> Gradients:
        copies = [self.given(np.array(x)) for x in arguments.values()]
        returned = self.gradient(*copies)
        if not all(np.array_equal(self.given(x), copy) for x, copy in zip(arguments.values(), copies, strict=True)):
            raise ValueError(f"{self.name}: its gradient writes to its arguments")
        if isinstance(returned, list | dict):
            raise TypeError(
                f"{self.name}: its gradient must be an array or a tuple of arrays, got {described(returned)}"
            )
        gradients = returned if isinstance(returned, tuple) else (returned,)
        scaled = tuple(None if dx is None else dloss * dx for dx in gradients)
        return input_gradients(self.name, scaled, self.inputs, self.not_differentiated)
