"""The heads of BERT, which read the encoder's output: logits of masked tokens, logits of classes, and the pooler."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.layers import Dropout, Layer, LayerNorm, Linear, Parameter, TiedLinear
from scratchformer.layers.feed_forward import ACTIVATIONS, Activation
from scratchformer.ops import Backward, linear_cross_entropy, tanh
from scratchformer.ops.rows import column_sum


class MaskedHead(Layer):
    """Logits of the token at a position: norm(activation(x W + b)) table^T + bias."""

    def __init__(
        self,
        table: Parameter,
        norm: LayerNorm,
        *,
        activation: Activation,
        generator: np.random.Generator | None,
        dtype: DTypeLike,
    ) -> None:
        n, d_model = table.value.shape
        self.activation = activation
        self.linear = Linear(d_model, d_model, generator=generator, dtype=dtype)
        self.norm = norm
        self.output = TiedLinear(table)
        self.bias = Parameter(np.zeros(n, dtype))

    def __call__(self, x: Inexact[ndarray, "*batch d"]) -> tuple[Inexact[ndarray, "*batch n"], Backward]:
        z, features_backward = self._features(x)
        y, output_backward = self.output(z)

        def backward(dy: ndarray) -> ndarray:
            dz = output_backward(dy)
            self.bias.add(column_sum(dy))
            return features_backward(dz)

        return y + self.bias.value, backward

    def cross_entropy(
        self, x: Inexact[ndarray, "n d"], targets: Integer[ndarray, " n"], **options: Any
    ) -> tuple[np.inexact, Backward]:
        """Mean cross-entropy of the logits, with the options of `linear_cross_entropy`."""
        z, features_backward = self._features(x)
        head = self.output
        loss, loss_backward = linear_cross_entropy(
            z, head.table.value.T, targets, self.bias.value, add_product=head.add_product, **options
        )

        def backward(dloss: float = 1.0) -> ndarray:
            dz, _, dbias = loss_backward(dloss)
            self.bias.add(dbias)
            return features_backward(dz)

        return loss, backward

    def _features(self, x: Inexact[ndarray, "*batch d"]) -> tuple[Inexact[ndarray, "*batch d"], Backward]:
        """What the table is multiplied with."""
        h, linear_backward = self.linear(x)
        a, activation_backward = ACTIVATIONS[self.activation](h)
        z, norm_backward = self.norm(a)

        def backward(dz: ndarray) -> ndarray:
            return linear_backward(activation_backward(norm_backward(dz)))

        return z, backward


class ClassHead(Layer):
    """Logits of classes: dropout(tanh(x W + b)) V + c."""

    def __init__(
        self, d_model: int, num_classes: int, *, dropout: float, generator: np.random.Generator | None, dtype: DTypeLike
    ) -> None:
        self.dropout = Dropout(dropout)
        self.linear = Linear(d_model, d_model, generator=generator, dtype=dtype)
        self.output = Linear(d_model, num_classes, generator=generator, dtype=dtype)

    def __call__(
        self, x: Inexact[ndarray, "*batch d"], generator: np.random.Generator | None = None
    ) -> tuple[Inexact[ndarray, "*batch classes"], Backward]:
        h, linear_backward = self.linear(x)
        a, tanh_backward = tanh(h)
        dropped, dropout_backward = self.dropout(a, generator)
        y, output_backward = self.output(dropped)

        def backward(dy: ndarray) -> ndarray:
            return linear_backward(tanh_backward(dropout_backward(output_backward(dy))))

        return y, backward


class Pooler(Layer):
    """One vector for a sequence, from that of its first position: tanh(x W + b)."""

    def __init__(self, d_model: int, *, generator: np.random.Generator | None, dtype: DTypeLike) -> None:
        self.linear = Linear(d_model, d_model, generator=generator, dtype=dtype)

    def __call__(self, x: Inexact[ndarray, "*batch d"]) -> tuple[Inexact[ndarray, "*batch d"], Backward]:
        h, linear_backward = self.linear(x)
        y, tanh_backward = tanh(h)

        def backward(dy: ndarray) -> ndarray:
            return linear_backward(tanh_backward(dy))

        return y, backward


def at_first(
    x: Inexact[ndarray, "*batch t d"], head: Callable[[ndarray], tuple[ndarray, Backward]]
) -> tuple[Inexact[ndarray, "*batch n"], Backward]:
    """Applies a head to the first position. Raises ValueError without one."""
    if not x.shape[-2]:
        raise ValueError(f"BERT: ids must have a first position, got shape {x.shape[:-1]}")
    y, head_backward = head(x[..., 0, :])

    def backward(dy: ndarray) -> ndarray:
        dx = np.zeros_like(x)
        dx[..., 0, :] = head_backward(dy)
        return dx

    return y, backward
