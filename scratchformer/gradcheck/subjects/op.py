from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from scratchformer.gradcheck.subjects.arguments import check_arguments, check_tensors, named_arguments
from scratchformer.gradcheck.subjects.frameworks import adapted, name_of
from scratchformer.gradcheck.subjects.own_backward import with_context, with_own_backward
from scratchformer.gradcheck.subjects.returned import input_gradients, output_and_backward
from scratchformer.gradcheck.subjects.source_text import call_text, function_name
from scratchformer.gradcheck.subjects.subject import Backward, Call, Gradients, Subject, Value
from scratchformer.gradcheck.subjects.trees import as_array, mapped


def op_subject(
    op: Callable[..., Any],
    arguments: Sequence[Any],
    options: Mapping[str, Any],
    name: str | None = None,
    backward: Callable[..., Any] | None = None,
) -> "OpSubject":
    """A subject from `op(*arguments, **options)`, which returns its output and its backward, or is a framework's op.

    Floating arrays among the arguments are differentiated, under their names in the signature.

    Args:
        op, arguments, options: the call.
        name: to report; the op's own if none is given.
        backward: the op's, if it stands apart; op then returns its output and what it keeps.
    """
    name = name if name is not None else name_of(op)
    of_framework = adapted(op) or with_context(op)
    function = of_framework or op
    if backward is not None:
        function = with_own_backward(op, backward)
    signature, skipped = (op, 0) if with_context(op) is None else (op.forward, 1)  # type: ignore[attr-defined]
    named = named_arguments(signature, [mapped(_as_numpy, argument) for argument in arguments], skipped)
    check_arguments(name, op, named)
    written = function_name(op) if of_framework is None else name
    text = call_text("check_op", written, named, options)
    if backward is not None:
        text += f", backward={function_name(backward)}"
    subject = OpSubject(Call(name, function, named, options, text))
    check_tensors(name, subject.tensors)
    return subject


def _as_numpy(x: Any) -> Any:
    """Tensors of other libraries as arrays."""
    return as_array(x) if hasattr(x, "__array__") else x


@dataclass
class OpSubject(Subject):
    can_be_shared = True

    def run(self, arguments: Mapping[str, Any]) -> tuple[Value, Backward]:
        returned = self.call.function(*map(self.given, arguments.values()), **self.call.options)
        y, backward = output_and_backward(self.name, returned)
        return y, partial(self._gradients, backward)

    def _gradients(self, backward: Callable[..., Any], dy: Value) -> Gradients:
        returned = backward(self.given(dy))
        return input_gradients(self.name, returned, self.arguments, self.call.not_differentiated, self.remarks)
