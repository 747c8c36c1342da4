"""A scalar function and its gradient, written apart from each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subjects.arguments import check_arguments, check_tensors, floating, named_arguments
from scratchformer.gradcheck.subjects.returned import input_gradients, output_and_backward, scaled
from scratchformer.gradcheck.subjects.source_text import call_text, function_name
from scratchformer.gradcheck.subjects.subject import Backward, Call, Gradients, Subject, Value
from scratchformer.gradcheck.subjects.trees import as_array, is_tree, mapped
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
        loss = as_array(self.call.function(*map(self.given, arguments.values())))
        if is_tree(loss):
            raise TypeError(f"{self.name}: must return a single number, got {described(loss)}")
        if np.shape(loss):
            raise TypeError(f"{self.name}: must return a single number, got shape {np.shape(loss)}")
        return output_and_backward(self.name, (loss, partial(self._gradients, arguments)))

    def _gradients(self, arguments: Mapping[str, Any], dloss: Value) -> Gradients:
        copies = {name: mapped(_copied, self.given(x)) for name, x in arguments.items()}
        returned = self.gradient(*copies.values())
        kept, written = floating(arguments), floating(copies)
        if not all(np.array_equal(self.given(x), written[name]) for name, x in kept.items() if name in written):
            raise ValueError(f"{self.name}: its gradient writes to its arguments")
        gradients = scaled(dloss, returned)
        return input_gradients(self.name, gradients, arguments, self.call.not_differentiated, self.remarks)


def _copied(x: Any) -> Any:
    return x.copy() if isinstance(x, ndarray) else x
