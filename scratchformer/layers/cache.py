from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Inexact, Integer
from numpy import ndarray


@dataclass
class _Stored:
    """Keys and values of one attention layer, in arrays with room for more positions than are used."""

    key: ndarray
    value: ndarray
    length: int


class KeyValueCache:
    """Keys and values that a model keeps while it decodes, so that it processes each token once.

    Pass it to a model as `cache=`, together with the new ids. Attention adds keys and values of the new positions to
    those that the cache holds, and looks at them all. Keys and values of cross-attention, which come from an encoder's
    output, are computed once and kept as well. A forward pass through a cache has no backward.

    Args:
        capacity: the largest number of positions that it holds. Memory for all is allocated when the first come.
        memory, memory_mask: the encoder's output for cross-attention, and its mask.

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
        """The number of positions that every layer of this part of the model holds."""
        lengths = (stored.length for name, stored in self._stored.items() if name.startswith(self._prefix))
        return min(lengths, default=0)

    def within(self, name: str) -> "KeyValueCache":
        """A view of this cache for a part of the model, with entries of its own."""
        inner = copy(self)
        inner._prefix = f"{self._prefix}{name}."
        return inner

    def extend(
        self, key: Inexact[ndarray, "*batch t d_k"], value: Inexact[ndarray, "*batch t d_v"]
    ) -> tuple[Inexact[ndarray, "*batch t_all d_k"], Inexact[ndarray, "*batch t_all d_v"]]:
        """Adds keys and values of new positions to those of this layer, and returns all, as read-only views.

        Raises ValueError if their shape or dtype does not fit those that are there, or if there is no room for them.
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
        """Keys and values of this layer's cross-attention. Calls `project` the first time only."""
        if self._prefix not in self._across:
            self._across[self._prefix] = project()
        return self._across[self._prefix]

    def select(self, rows: Integer[ndarray, " b"]) -> None:
        """Keeps these rows of the batch (the leading axis) in this order. A row may be kept several times."""
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
    """The backward of a forward pass through a cache. Raises TypeError."""
    raise TypeError("cache: a forward pass through a key-value cache has no backward; call the model without one")
