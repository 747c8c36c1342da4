"""The gradient of a parameter to which several workers add: products together, all else one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.ops.linear import product_over_rows


class SharedGradient:
    """A gradient in the course of a step. What is first added to a part of it is written there, and not added to zeros.

    So what is written grows from the front, along the first axis, or along the second if it begins with columns.

    A loose one gives up its memory when a step begins, and takes memory anew with what is first added.
    """

    def __init__(self, grad: ndarray, *, is_loose: bool = False) -> None:
        self.take(grad, is_loose=is_loose)

    def take(self, grad: ndarray, *, is_loose: bool = False) -> None:
        """Makes this array the gradient. If loose, only its shape and dtype are kept."""
        self._shape, self._dtype, self.is_loose = grad.shape, grad.dtype, is_loose
        self._grad: ndarray | None = grad
        self.begin()

    def begin(self) -> None:
        """Begins a step: nothing is written."""
        self._axis, self._num_written = 0, 0
        if self.is_loose:
            self._grad = None

    @property
    def grad(self) -> ndarray:
        """The array that is added to."""
        if self._grad is None:
            self._grad = np.empty(self._shape, self._dtype)
        return self._grad

    def end(self) -> None:
        """Sets to zero what is not written."""
        slices = self._slices
        slices[self._num_written :] = 0
        self._num_written = len(slices)

    @property
    def _slices(self) -> ndarray:
        """Rows or columns, whichever what is written grows along."""
        return np.moveaxis(np.atleast_1d(self.grad), self._axis, 0)

    def is_first(self, at: Any) -> bool:
        """Whether what comes next at this index is to be written, and not added. It then counts as written.

        Zeros are written first where it does not begin just after what is written.
        """
        of_columns = isinstance(at, tuple) and len(at) == 2 and isinstance(at[0], slice) and at[0] == slice(None)
        axis, part = (1, at[1]) if of_columns else (0, slice(None) if at is None else at)
        if not self._num_written:
            self._axis = axis
        if axis == self._axis and isinstance(part, slice):
            start, stop, step = part.indices(len(self._slices))
            if step == 1 and start == self._num_written < stop:
                self._num_written = stop
                return True
            if step == 1 and stop <= self._num_written:
                return False
        self.end()
        return False

    def add(self, dvalue: ndarray, at: Any) -> None:
        """Adds to the part at an index."""
        index = ... if at is None else at
        if self.is_first(at):
            np.copyto(self.grad[index], dvalue)
        else:
            self.grad[index] += dvalue


@dataclass(frozen=True, eq=False)
class Addition:
    """What a worker adds to a part of a gradient."""

    gradient: SharedGradient
    at: Any
    dvalue: ndarray
    goes_on: bool = False
    """Whether the worker's last addition was to this gradient, too."""

    def add(self) -> None:
        self.gradient.add(self.dvalue, self.at)


@dataclass(frozen=True, eq=False)
class Product:
    """The factors of a product a^T b that a worker adds to a part of a gradient."""

    gradient: SharedGradient
    at: Any
    a: ndarray
    b: ndarray
    goes_on: bool = False
    """As above."""

    def add(self) -> None:
        self.gradient.add(product_over_rows(self.a, self.b), self.at)

    def goes_with(self, other: object) -> bool:
        """Whether the other is a product for the same part."""
        return isinstance(other, Product) and other.gradient is self.gradient and other.at == self.at


@dataclass(frozen=True)
class SumOfProducts:
    """What products of several workers add up to: one product of all their rows, each worker forms some rows of it."""

    products: Sequence[Product]
    is_first: bool

    def add_share_of(self, product: Product) -> None:
        """Does the share of the worker of whom this product is."""
        grad = product.gradient.grad if product.at is None else product.gradient.grad[product.at]
        index, num_shares = self.products.index(product), len(self.products)
        own = slice(len(grad) * index // num_shares, len(grad) * (index + 1) // num_shares)
        a = np.concatenate([each.a[:, own] for each in self.products])
        b = np.concatenate([each.b for each in self.products])
        if self.is_first:
            product_over_rows(a, b, grad[own])
        else:
            grad[own] += product_over_rows(a, b)


def whose_turn(brought: Mapping[int, Addition | Product | None]) -> Sequence[int]:
    """Of what workers have brought, the workers whose turn it is.

    Some may add to a gradient more often, those with more rows say. They go on while the others wait at their next
    gradient, where all then have products for the same part again. Who only waits for the end of a product goes first.
    """
    sharing = [worker for worker, each in brought.items() if each is None]
    going_on = [worker for worker, each in brought.items() if each is not None and each.goes_on]
    return sharing or going_on or list(brought)


def add_or_share(brought: Sequence[Addition | Product | None]) -> SumOfProducts | None:
    """Adds what all workers have brought, in their order, unless all have products for one part, which they then share.

    A worker that only waits brings None.
    """
    additions = [each for each in brought if each is not None]
    first = additions[0] if additions else None
    if isinstance(first, Product) and all(first.goes_with(each) for each in additions):
        return SumOfProducts(
            [each for each in additions if isinstance(each, Product)], first.gradient.is_first(first.at)
        )
    for each in additions:
        each.add()
    return None
