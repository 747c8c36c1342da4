from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers.layer import Layer
from scratchformer.layers.parameter import Parameter, normal
from scratchformer.ops import Backward, linear, linear_cross_entropy
from scratchformer.ops.checks import check_at_least
from scratchformer.ops.linear import linear_backward


@checked_arguments
class Linear(Layer):
    """Affine map y = x W + b of the last axis, W of shape (in, out).

    W starts normal with standard deviation 1 / sqrt(in), or at zero without a generator; b starts at zero.
    Raises ValueError for sizes below 1.

    Derivation: `python -m scratchformer derive linear`.
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        bias: bool = True,
        generator: np.random.Generator | None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        check_at_least("Linear", 1, d_in=d_in, d_out=d_out)
        self.weight = Parameter(normal(generator, (d_in, d_out), dtype, fan_in=d_in))
        self.bias = Parameter(np.zeros(d_out, dtype)) if bias else None

    def __call__(self, x: Inexact[ndarray, "*batch d_in"]) -> tuple[Inexact[ndarray, "*batch d_out"], Backward]:
        bias = None if self.bias is None else self.bias.value
        y, product_backward = linear(x, self.weight.value, bias, self.weight.add_product)
        return y, self._adding_bias(product_backward)

    def _adding_bias(self, product_backward: Backward) -> Backward:
        def backward(dy: ndarray) -> ndarray:
            dx, _, dbias = product_backward(dy)
            if self.bias is not None:
                self.bias.add(dbias)
            return dx

        return backward

    def cross_entropy(
        self, x: Inexact[ndarray, "*batch d_in"], targets: Integer[ndarray, "*batch"], **options: Any
    ) -> tuple[np.inexact, Backward]:
        """Mean cross-entropy of y as logits, with the options of `linear_cross_entropy`."""
        bias = None if self.bias is None else self.bias.value

        def add_product(a: ndarray, b: ndarray, part: slice) -> None:
            self.weight.add_product(a, b, (slice(None), part))

        loss, loss_backward = linear_cross_entropy(
            x, self.weight.value, targets, bias, add_product=add_product, **options
        )

        def backward(dloss: float = 1.0) -> ndarray:
            dx, _, dbias = loss_backward(dloss)
            if self.bias is not None:
                self.bias.add(dbias)
            return dx

        return loss, backward


def backward_for(layer: Linear) -> Callable[[ndarray], Backward]:
    """What gives the backward of a call from its x, for who forms x again rather than hold it."""
    value, add_product = layer.weight.value, layer.weight.add_product
    bias = None if layer.bias is None else layer.bias.value
    return lambda x: layer._adding_bias(linear_backward(x, value, bias, add_product))


@checked_arguments
class TiedLinear(Layer):
    """Linear map y = x table^T with the table of another layer, such as a token embedding. It adds no parameter.

    Derivation: `python -m scratchformer derive embedding`.
    """

    def __init__(self, table: Parameter) -> None:
        self.table = table

    def __call__(self, x: Inexact[ndarray, "*batch d"]) -> tuple[Inexact[ndarray, "*batch n"], Backward]:
        y, linear_backward = linear(x, self.table.value.T, None, self.add_product)

        def backward(dy: ndarray) -> ndarray:
            dx, *_ = linear_backward(dy)
            return dx

        return y, backward

    def cross_entropy(
        self, x: Inexact[ndarray, "*batch d"], targets: Integer[ndarray, "*batch"], **options: Any
    ) -> tuple[np.inexact, Backward]:
        """Mean cross-entropy of y as logits, with the options of `linear_cross_entropy`."""
        loss, loss_backward = linear_cross_entropy(
            x, self.table.value.T, targets, add_product=self.add_product, **options
        )

        def backward(dloss: float = 1.0) -> ndarray:
            dx, *_ = loss_backward(dloss)
            return dx

        return loss, backward

    def add_product(self, a: ndarray, b: ndarray, part: slice | None = None) -> None:
        """Adds the gradient of table^T, a^T b, or of some of its columns, to that of the table."""
        self.table.add_product(b, a, part)
