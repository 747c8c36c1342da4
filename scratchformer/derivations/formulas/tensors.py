"""Arrays whose axes have names: the letters of a formula, and `@1`, `@2`, ... for leading axes that it leaves out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from scratchformer.derivations.formulas.nodes import FormulaError


@dataclass(frozen=True)
class Tensor:
    """An array and the names of its axes, all different."""

    array: ndarray
    names: tuple[str, ...] = ()

    def along(self, names: tuple[str, ...]) -> ndarray:
        """The array with these axes in this order; axes that it lacks have size 1."""
        missing = tuple(name for name in names if name not in self.names)
        have = self.names + missing
        return self.array.reshape(self.array.shape + (1,) * len(missing)).transpose([have.index(n) for n in names])

    def reduced(self, name: str, reduce: Callable[..., ndarray]) -> "Tensor":
        """Without the named axis, over which `reduce` runs."""
        place = self.names.index(name)
        return Tensor(reduce(self.array, axis=place), self.names[:place] + self.names[place + 1 :])


def joined(*tensors: Tensor) -> tuple[str, ...]:
    """The names of all axes, each once."""
    return tuple(dict.fromkeys(name for tensor in tensors for name in tensor.names))


def combine(function: Callable[..., ndarray], *tensors: Tensor) -> Tensor:
    """Applies a function element by element, along axes of one name together."""
    names = joined(*tensors)
    arrays = [tensor.along(names) for tensor in tensors]
    try:
        return Tensor(np.asarray(function(*arrays)), names)
    except ValueError as error:
        raise FormulaError(f"sizes do not fit: {', '.join(str(array.shape) for array in arrays)}") from error


def diagonal(array: ndarray, names: tuple[str, ...]) -> Tensor:
    """Where a name occurs twice, keeps the elements with equal places along both axes."""
    kept = tuple(dict.fromkeys(names))
    numbers = [kept.index(name) for name in names]
    return Tensor(np.einsum(array, numbers, list(range(len(kept)))), kept)
