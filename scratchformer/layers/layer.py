import copy
from typing import TypeVar

import numpy as np
from jaxtyping import Inexact
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers.parameter import Parameter
from scratchformer.layers.parts import describe_parts
from scratchformer.ops.checks import check_shape

LayerT = TypeVar("LayerT", bound="Layer")


class Layer:
    """Owns parameters. Its backward adds to their gradients.

    Calling a layer returns its output and a backward function. That function adds to the gradient of every parameter
    that took part, and returns the gradients of the layer's inputs in the order of the call. It adds by
    `parameter.add(dvalue)`, or by `parameter.add_product(x, dy)` if the gradient is x^T dy. `parameter.grad += dvalue`
    adds as well, but not where workers share a gradient: there it raises AttributeError.

    `pack` moves all parameters into one contiguous vector `values`, and their gradients into `grads`. Matrices come
    first and fill the leading `num_decayed` elements, so that weight decay is one slice. Models pack themselves.
    """

    values: np.ndarray
    grads: np.ndarray
    num_decayed: int

    def __repr__(self) -> str:
        try:
            return describe_parts(self, self.parameters())
        except TypeError:  # it holds layers that are no part of training
            return f"{type(self).__name__}: a read-only store of weights"

    def parameters(self) -> dict[str, Parameter]:
        """Every parameter by its dotted name, in order of definition. A shared one appears once, by its first name."""
        found: dict[str, Parameter] = {}
        self._collect(self, "", found, set())
        return found

    @staticmethod
    def _collect(node: object, name: str, found: dict[str, Parameter], seen: set[int]) -> None:
        """Adds the parameters of a node and of all that it holds. A node may hold its owner: each is visited once."""
        children: dict[str, object] = {}
        if isinstance(node, Layer):
            children = node._children()
        elif isinstance(node, list | tuple):
            children = {str(i): child for i, child in enumerate(node)}
        elif isinstance(node, dict):
            children = node
        elif not isinstance(node, Parameter):
            return
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, Parameter):
            found[name] = node
        for key, child in children.items():
            Layer._collect(child, f"{name}.{key}" if name else key, found, seen)

    def _children(self) -> dict[str, object]:
        """Where its parameters may be. A layer that is no part of training raises TypeError."""
        return vars(self)

    @checked_arguments
    def pack(self, dtype: DTypeLike | None = None) -> None:
        """Moves all parameters into one contiguous vector, of another dtype if one is given, and zeroes the gradients.

        Pack only the outermost layer, and before you make optimizers, averages or replicas of it. They, and an outer
        layer, would keep the old vector.
        """
        found = self.parameters()
        if dtype is None:
            dtype = np.result_type(*(parameter.value.dtype for parameter in found.values())) if found else np.float32
        values = np.zeros(sum(parameter.value.size for parameter in found.values()), dtype)
        for name, part in self.views_by_name(values).items():
            if found[name].value.any():  # zeros are not written, so weights that are yet to come take no memory
                part[...] = found[name].value
        self.use(values, np.zeros(values.shape, values.dtype))

    @checked_arguments
    def astype(self: LayerT, dtype: DTypeLike) -> LayerT:
        """A packed copy in this dtype, with gradients zero. Tied parameters stay tied."""
        twin = self._twin()
        twin.pack(dtype)
        return twin

    def replica(self: LayerT) -> LayerT:
        """A layer for another thread: it shares the values of this packed one, and has gradients of its own.

        Raises ValueError for a layer that is not packed.
        """
        if "values" not in vars(self):
            raise ValueError(f"{type(self).__name__}: a replica shares packed values; call pack() first")
        twin = self._twin()
        twin.use(self.values, np.zeros(self.grads.shape, self.grads.dtype))
        return twin

    @checked_arguments
    def views_by_name(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """Views of a vector with the layout of `values`, one for each parameter, by its name."""
        parameters = self._decayed_first()
        size = sum(parameter.value.size for parameter in parameters.values())
        check_shape(type(self).__name__, "vector", vector, (size,))
        parts, start = {}, 0
        for name, parameter in parameters.items():
            stop = start + parameter.value.size
            parts[name] = vector[start:stop].reshape(parameter.value.shape)
            start = stop
        return parts

    def _decayed_first(self) -> dict[str, Parameter]:
        return dict(sorted(self.parameters().items(), key=lambda item: item[1].value.ndim < 2))

    @checked_arguments
    def use(self, values: Inexact[np.ndarray, " n"], grads: Inexact[np.ndarray, " n"]) -> None:
        """Makes these vectors, in the layout of `pack`, those of the parameters and their gradients.

        Raises TypeError for vectors of two dtypes, and ValueError for one of another shape.
        """
        if values.dtype != grads.dtype:
            raise TypeError(
                f"{type(self).__name__}: grads is {grads.dtype}, values is {values.dtype}; expected one dtype"
            )
        value_of, grad_of = self.views_by_name(values), self.views_by_name(grads)
        self.values, self.grads = values, grads
        for name, parameter in self.parameters().items():
            parameter.value, parameter.grad = value_of[name], grad_of[name]
        self.num_decayed = sum(value.size for value in value_of.values() if value.ndim >= 2)

    def _twin(self: LayerT) -> LayerT:
        """A copy of the structure, whose parameters still hold the original's arrays."""
        arrays = [self.__dict__.get("values"), self.__dict__.get("grads")]
        for parameter in self.parameters().values():
            arrays += [parameter.value, parameter.grad]
        return copy.deepcopy(self, {id(array): array for array in arrays if array is not None})
