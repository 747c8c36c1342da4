from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Inexact, Integer
from numpy import ndarray


@dataclass
class _Stored:
    """Keys and values of one attention layer, in arrays that may hold more positions than are used."""

    key: ndarray
    value: ndarray
    length: int


class KeyValueCache:
    """Keys and values that the attention layers of a model keep while it decodes, so that each token is seen once.

    Given to a model's call as `cache=`, together with the ids that are new: attention then looks at all positions that
    went through this cache, and the new ones are added. What a decoder attends to across, an encoder's output, is
    projected once and kept as well. It serves forward passes alone; a backward pass through one is refused.

    Args:
        capacity: the most positions that it holds. Memory for them is taken when the first come.
        memory, memory_mask: what a decoder attends to across, and which of it may be attended.

    Raises ValueError for a capacity below 1.
    """

    def __init__(
        self,
        capacity: int,
        memory: Inexact[ndarray, "*batch t_memory d"] | None = None,
        memory_mask: Bool[ndarray, "..."] | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"KeyValueCache: capacity must be at least 1, got {capacity}")
        self.capacity, self.memory, self.memory_mask = capacity, memory, memory_mask
        self._stored: dict[str, _Stored] = {}
        self._across: dict[str, tuple[ndarray, ndarray]] = {}
        self._prefix = ""

    @property
    def length(self) -> int:
        """How many positions it holds: those that are in every layer of this part of the model."""
        lengths = (stored.length for name, stored in self._stored.items() if name.startswith(self._prefix))
        return min(lengths, default=0)

    def within(self, name: str) -> "KeyValueCache":
        """A view of this cache for a part of the model, whose entries are its own."""
        inner = copy(self)
        inner._prefix = f"{self._prefix}{name}."
        return inner

    def extend(
        self, key: Inexact[ndarray, "*batch t d_k"], value: Inexact[ndarray, "*batch t d_v"]
    ) -> tuple[Inexact[ndarray, "*batch t_all d_k"], Inexact[ndarray, "*batch t_all d_v"]]:
        """Adds keys and values of new positions to those of this layer, and returns all, as read-only views.

        Raises ValueError when they do not fit what is there, or there is no room for them.
        """
        stored = self._stored.get(self._prefix)
        if stored is None:
            stored = _Stored(self._room_for(key), self._room_for(value), 0)
            self._stored[self._prefix] = stored
        start, end = stored.length, stored.length + key.shape[-2]
        if end > self.capacity:
            raise ValueError(f"cache: holds {start} of {self.capacity} positions, has no room for {end - start} more")
        for name, new, old in (("keys", key, stored.key), ("values", value, stored.value)):
            expected = (*old.shape[:-2], new.shape[-2], old.shape[-1])
            if new.shape != expected or new.dtype != old.dtype:
                raise ValueError(
                    f"cache: {name} have shape {new.shape} and dtype {new.dtype}, expected {expected} and {old.dtype}"
                )
        stored.key[..., start:end, :] = key
        stored.value[..., start:end, :] = value
        stored.length = end
        return _read_only(stored.key[..., :end, :]), _read_only(stored.value[..., :end, :])

    def across(self, project: Callable[[], tuple[ndarray, ndarray]]) -> tuple[ndarray, ndarray]:
        """Keys and values of what this layer attends to across, which are computed the first time alone."""
        if self._prefix not in self._across:
            self._across[self._prefix] = project()
        return self._across[self._prefix]

    def select(self, rows: Integer[ndarray, " b"]) -> None:
        """Keeps these rows of the batch, the leading axis, in this order; one may be taken several times."""
        for stored in self._stored.values():
            stored.key, stored.value = stored.key[rows], stored.value[rows]
        for name, (key, value) in self._across.items():
            self._across[name] = key[rows], value[rows]
        if self.memory is not None:
            self.memory = self.memory[rows]
        if self.memory_mask is not None and len(self.memory_mask) > 1:
            self.memory_mask = self.memory_mask[rows]

    def _room_for(self, x: ndarray) -> ndarray:
        return np.empty((*x.shape[:-2], self.capacity, x.shape[-1]), x.dtype)


def cache_within(cache: KeyValueCache | None, name: str) -> KeyValueCache | None:
    """The view of a cache for a part of the model, if there is a cache."""
    return None if cache is None else cache.within(name)


def _read_only(x: ndarray) -> ndarray:
    x.flags.writeable = False
    return x


def refuse_backward(dy: ndarray) -> None:
    """In the place of the backward of a forward pass that went through a cache."""
    raise TypeError("cache: a forward pass through a key-value cache has no backward; call the model without one")
