import copy
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike

from scratchformer.layers.parameter import Parameter

LayerT = TypeVar("LayerT", bound="Layer")


class Layer:
    """Something that owns parameters, and whose backward adds to their gradients.

    Calling a layer returns its output and a backward function. That function adds to `.grad` of every parameter
    that took part, and returns the gradients of the layer's inputs in the order of the call.

    `pack` moves all parameters into one contiguous vector `values`, and their gradients into `grads`; matrices lie
    first, in the leading `num_decayed` elements, so that weight decay is one slice. Models pack themselves.
    """

    values: np.ndarray
    grads: np.ndarray
    num_decayed: int

    def parameters(self) -> dict[str, Parameter]:
        """Every parameter by its dotted name, in order of definition; one that is shared appears once."""
        found: dict[str, Parameter] = {}
        seen = set()
        for name, parameter in self._named(self):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                found[name] = parameter
        return found

    @staticmethod
    def _named(node: object, name: str = "") -> Iterator[tuple[str, Parameter]]:
        if isinstance(node, Parameter):
            yield name, node
        children: dict[str, object] = {}
        if isinstance(node, Layer):
            children = vars(node)
        elif isinstance(node, list | tuple):
            children = {str(i): child for i, child in enumerate(node)}
        elif isinstance(node, dict):
            children = node
        for key, child in children.items():
            yield from Layer._named(child, f"{name}.{key}" if name else key)

    def pack(self, dtype: DTypeLike | None = None) -> None:
        """Moves all parameters into one contiguous vector (of another dtype if one is given), gradients zero.

        Only the outermost layer may be packed, and before optimizers, averages and replicas are made of it: they, and
        an outer layer, would go on with the old vector.
        """
        parts = [parameter.value.ravel() for parameter in self._decayed_first()]
        values = np.concatenate(parts) if parts else np.empty(0, np.float32)
        values = values.astype(values.dtype if dtype is None else dtype, copy=False)
        self._bind(values, np.zeros_like(values))

    def astype(self: LayerT, dtype: DTypeLike) -> LayerT:
        """A copy on a fresh vector of this dtype, with gradients zero; what was tied stays tied."""
        twin = self._twin()
        twin.pack(dtype)
        return twin

    def replica(self: LayerT) -> LayerT:
        """A layer with the same values, not copies of them, and gradients of its own: for another thread."""
        twin = self._twin()
        twin._bind(self.values, np.zeros_like(self.grads))
        return twin

    def _decayed_first(self) -> list[Parameter]:
        return sorted(self.parameters().values(), key=lambda parameter: parameter.value.ndim < 2)

    def _bind(self, values: np.ndarray, grads: np.ndarray) -> None:
        start = 0
        self.values, self.grads, self.num_decayed = values, grads, 0
        for parameter in self._decayed_first():
            shape, stop = parameter.value.shape, start + parameter.value.size
            parameter.value = values[start:stop].reshape(shape)
            parameter.grad = grads[start:stop].reshape(shape)
            start = stop
            if len(shape) >= 2:
                self.num_decayed = stop

    def _twin(self: LayerT) -> LayerT:
        """A copy of the structure whose parameters still are the original's arrays."""
        arrays = [self.__dict__.get("values"), self.__dict__.get("grads")]
        for parameter in self.parameters().values():
            arrays += [parameter.value, parameter.grad]
        return copy.deepcopy(self, {id(array): array for array in arrays if array is not None})
