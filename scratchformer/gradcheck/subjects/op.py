from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from scratchformer.gradcheck.subjects.arguments import check_arguments, check_tensors, named_arguments
from scratchformer.gradcheck.subjects.returned import input_gradients, output_and_backward
from scratchformer.gradcheck.subjects.source_text import call_text, function_name
from scratchformer.gradcheck.subjects.subject import Backward, Call, Gradients, Subject, Value


def op_subject(
    op: Callable[..., Any], arguments: Sequence[Any], options: Mapping[str, Any], name: str | None = None
) -> "OpSubject":
    """A subject from `op(*arguments, **options)`, which returns its output and its backward.

    Floating arrays among the arguments are differentiated, under their names in the signature.
    """
    name = name if name is not None else str(getattr(op, "__name__", "op"))
    named = named_arguments(op, arguments)
    check_arguments(name, op, named)
    text = call_text("check_op", function_name(op), named, options)
    subject = OpSubject(Call(name, op, named, options, text))
    check_tensors(name, subject.tensors)
    return subject


@dataclass
class OpSubject(Subject):
    can_be_shared = True

    def run(self, arguments: Mapping[str, Any]) -> tuple[Value, Backward]:
        returned = self.call.function(*map(self.given, arguments.values()), **self.call.options)
        y, backward = output_and_backward(self.name, returned)
        return y, partial(self._gradients, backward)

    def _gradients(self, backward: Callable[..., Any], dy: Value) -> Gradients:
        returned = backward(self.given(dy))
        return input_gradients(self.name, returned, self.arguments, self.not_differentiated, self.remarks)
