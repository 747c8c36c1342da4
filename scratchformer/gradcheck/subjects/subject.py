"""Something whose gradients can be tested, in the one form that every check takes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.gradcheck.subjects.arguments import (
    Layout,
    copied_arguments,
    floating,
    other_arguments,
    why_not_differentiated,
)
from scratchformer.gradcheck.subjects.returned import Remarks
from scratchformer.gradcheck.subjects.trees import is_tree, mapped

Value = ndarray | np.inexact
"""An array, or a NumPy number."""
Gradients = dict[str, ndarray]
"""The gradient of each tensor, by its name."""
Backward = Callable[[Value], Gradients]
"""Takes the cotangent: the gradient of the loss with respect to the output."""


@dataclass(frozen=True)
class Call:
    """The call that is tested: `function(*arguments, **options)`.

    `arguments` are the user's, by name; the function gets copies of them. `name` is for reports and errors, `text` is
    the call of the check as source text.
    """

    name: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    options: Mapping[str, Any]
    text: str

    @cached_property
    def not_differentiated(self) -> dict[str, str]:
        return why_not_differentiated(self.arguments, self.options)


@dataclass
class Subject(ABC):
    """A function at given inputs, with its backward pass.

    Its arguments are fresh copies of those of the call: floating arrays in `dtype` and `layout`. A function that takes
    float32 alone gets them in that, and so does its backward the cotangent. All copies share the remarks.
    """

    call: Call
    dtype: DTypeLike = np.float64
    layout: Layout = np.array
    takes_float32_alone: bool = False
    remarks: Remarks = field(default_factory=Remarks)

    can_be_shared: ClassVar[bool]
    """Whether two threads may use one object at once. They may if calls change nothing that they share."""

    def __post_init__(self) -> None:
        self.arguments = copied_arguments(self.call.arguments, self.dtype, self.layout)
        self.inputs = floating(self.arguments)

    @property
    def name(self) -> str:
        return self.call.name

    @cached_property
    def tensors(self) -> dict[str, ndarray]:
        """The inputs and parameters by which the output is differentiated. Checks change their values in place."""
        return self.inputs

    @abstractmethod
    def run(self, arguments: Mapping[str, Any]) -> tuple[Value, Backward]:
        """The output for some arguments, and the backward that belongs to it."""

    def given(self, x: Any) -> Any:
        """An argument or a cotangent as the function takes it; its tuples, lists and dicts are new ones."""
        if self.takes_float32_alone:
            return mapped(_in_float32, x)
        return mapped(_as_it_is, x) if is_tree(x) else x

    def forward(self) -> tuple[Value, Backward]:
        """The output at the present values of the tensors, and its backward."""
        return self.run(self.arguments)

    def other_arguments(self) -> Iterator[dict[str, Any]]:
        """Arguments with other values, for `run`; some may lie outside of the function's domain."""
        return other_arguments(self.arguments)

    def accumulate(self, dy: Value, starts: Mapping[str, ndarray]) -> tuple[Gradients, Gradients] | None:
        """The gradients of parameters before and after a backward pass that finds `starts` in them.

        None if there are no parameters.
        """
        return None

    def astype(self, dtype: DTypeLike, layout: Layout = np.array) -> "Subject":
        """The same subject on new copies of the arguments of the call, whatever has become of the present ones."""
        return replace(self, dtype=dtype, layout=layout)

    def place(self, tensor: str, place: Any) -> Any:
        """The index in the user's tensor that an index in one of `tensors` stands for."""
        return place

    def largest_input(self) -> float:
        """The largest finite magnitude in the tensors."""
        return max(float(np.abs(x[np.isfinite(x)]).max(initial=0)) for x in self.tensors.values())


def _in_float32(x: Any) -> Any:
    is_real = isinstance(x, ndarray | np.floating) and x.dtype.kind == "f"
    return x.astype(np.float32) if is_real else x


def _as_it_is(x: Any) -> Any:
    return x
