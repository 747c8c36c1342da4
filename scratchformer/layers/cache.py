from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from jaxtyping import Bool, Inexact, Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.misfits import ACCEPTED, PLAIN, misfit_of_array
from scratchformer.ops.checks import check_at_least, check_dimensions, check_indices

SPARE = 64
"""Room for new positions beside those of a window. Once it is used up, those of the window are copied to new arrays."""


@dataclass
class _Stored:
    """Keys and values of one attention layer, in arrays with room for more positions than are used."""

    key: ndarray
    value: ndarray
    start: int
    """The position at place 0, above 0 once a window has passed by earlier ones."""
    length: int
    """The number of positions that came."""

    def append(self, key: ndarray, value: ndarray, reach: int) -> tuple[ndarray, ndarray]:
        """Writes new positions behind the others. Returns them, and up to `reach` positions before them."""
        first, end = self.length - self.start, self.length - self.start + key.shape[-2]
        self.key[..., first:end, :], self.value[..., first:end, :] = key, value
        self.length += key.shape[-2]
        seen = slice(max(0, first - reach), end)
        return _read_only(self.key[..., seen, :]), _read_only(self.value[..., seen, :])

    def move_on(self, key: ndarray, value: ndarray, reach: int) -> tuple[ndarray, ndarray]:
        """The same into new arrays, which keep what later positions can look at. Arrays returned before stay valid."""
        first, room = self.length - self.start, self.key.shape[-2]
        seen = slice(max(0, first - reach), first)
        keys = np.concatenate([self.key[..., seen, :], key], axis=-2)
        values = np.concatenate([self.value[..., seen, :], value], axis=-2)
        kept = min(reach, keys.shape[-2])
        moved_key, moved_value = _room_for(key, room), _room_for(value, room)
        moved_key[..., :kept, :] = keys[..., keys.shape[-2] - kept :, :]
        moved_value[..., :kept, :] = values[..., keys.shape[-2] - kept :, :]
        length = self.length + key.shape[-2]
        # All at once, since Ctrl-C may come between two statements and the cache go on being used.
        self.key, self.value, self.start, self.length = moved_key, moved_value, length - kept, length
        return _read_only(keys), _read_only(values)


@checked_arguments
class KeyValueCache:
    """Keys and values that a model keeps while it decodes, so that it processes each token once.

    Pass it to a model as `cache=`, together with the new ids. Attention adds keys and values of the new positions to
    those that the cache holds, and looks at them all. Keys and values of cross-attention, which come from an encoder's
    output, are computed once and kept as well. A forward pass through a cache has no backward.

    Args:
        capacity: the largest number of positions that may come. Memory for all is allocated when the first come, but in
            a layer with a window for little more than the window.
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
        if not isinstance(name, str):
            raise TypeError(f"KeyValueCache: name must be text, got {type(name).__name__}")
        inner = object.__new__(type(self))  # `copy` takes three times as long, for every layer and token
        inner.__dict__ = {**self.__dict__, "_prefix": f"{self._prefix}{name}."}
        return inner

    def extend(
        self,
        key: Inexact[ndarray, "*batch t d_k"],
        value: Inexact[ndarray, "*batch t d_v"],
        *,
        window: int | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t_all d_k"], Inexact[ndarray, "*batch t_all d_v"]]:
        """Adds keys and values of new positions to those of this layer, and returns all, as read-only views.

        With a window, the queries of the new positions attend to their own and the window - 1 positions before. Then
        what is returned leaves out all that lies before the first query's window, and memory is allocated for little
        more than the window.

        Raises ValueError if their shape or dtype does not fit those that are there, or if there is no room for them.
        """
        if type(key) not in PLAIN or type(value) not in PLAIN or key.shape[:-1] != value.shape[:-1]:
            _check_arrays(key, value)
        if window is not None:
            check_at_least("KeyValueCache", 1, window=window)
        reach = self.capacity if window is None else window - 1  # how many earlier positions a query looks at
        stored = self._stored.get(self._prefix)
        if stored is None:
            _check_arrays(key, value)
            room = min(self.capacity, reach + SPARE)
            stored = _Stored(_room_for(key, room), _room_for(value, room), 0, 0)
            self._stored[self._prefix] = stored
        length, end = stored.length, stored.length + key.shape[-2]
        if end > self.capacity:
            raise ValueError(
                f"KeyValueCache: key has {end - length} positions, "
                f"with {length} of {self.capacity} there is no room for them"
            )
        if not (_fits(key, stored.key) and _fits(value, stored.value)):
            _refuse(key=(key, stored.key), value=(value, stored.value))
        if end - stored.start > stored.key.shape[-2]:
            return stored.move_on(key, value, reach)
        return stored.append(key, value, reach)

    def across(self, project: Callable[[], tuple[ndarray, ndarray]]) -> tuple[ndarray, ndarray]:
        """Keys and values of this layer's cross-attention. Calls `project` the first time only."""
        if self._prefix not in self._across:
            if not callable(project):
                raise TypeError(f"KeyValueCache: project must be a function, got {type(project).__name__}")
            self._across[self._prefix] = project()
        return self._across[self._prefix]

    @checked_arguments
    def truncate(self, length: int) -> None:
        """Forgets all positions from `length` on. What is attended to across stays.

        Raises ValueError for a negative length, for one above that of the cache, and where a layer with a window has
        dropped positions that the next ones would attend to.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"KeyValueCache: length to keep must be from 0 to {self.length}, got {length}")
        for stored in self._stored.values():
            if length < stored.length and stored.start > 0:
                raise ValueError(
                    f"KeyValueCache: length: a window has passed by the positions before {stored.start}, "
                    f"so that {stored.length} positions cannot become {length}"
                )
        for stored in self._stored.values():
            stored.length = length

    @checked_arguments
    def select(self, rows: Integer[ndarray, " b"]) -> None:
        """Keeps these rows of the batch (the leading axis) in this order. A row may be kept several times."""
        held = [stored.key for stored in self._stored.values()] + [key for key, _ in self._across.values()]
        for array in held[:1] or [array for array in (self.memory,) if array is not None]:
            check_indices("KeyValueCache", "rows", rows, len(array))
        for stored in self._stored.values():
            stored.key, stored.value = stored.key[rows], stored.value[rows]
        for name, (key, value) in self._across.items():
            self._across[name] = key[rows], value[rows]
        if self.memory is not None:
            self.memory = self.memory[rows]
        if self.memory_mask is not None and len(self.memory_mask) > 1:
            self.memory_mask = self.memory_mask[rows]


def _check_arrays(key: ndarray, value: ndarray) -> None:
    """Raises TypeError or ValueError unless both are plain floating arrays of as many rows of features."""
    for name, array in (("key", key), ("value", value)):
        if misfit := misfit_of_array(array, *ACCEPTED[Inexact]):
            raise TypeError(f"KeyValueCache: {name} must be {misfit.expected}, got {misfit.got}")
        check_dimensions("KeyValueCache", name, array, 2)
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(
            f"KeyValueCache: value has shape {value.shape}, expected {key.shape[:-1]} before the last axis"
        )


def _fits(new: ndarray, old: ndarray) -> bool:
    """Whether an array differs from another one in the number of positions alone."""
    return new.dtype == old.dtype and new.shape[-1] == old.shape[-1] and new.shape[:-2] == old.shape[:-2]


def _refuse(**arrays: tuple[ndarray, ndarray]) -> NoReturn:
    """Raises ValueError for the first new array that does not fit the old one."""
    name, (new, old) = next(item for item in arrays.items() if not _fits(*item[1]))
    expected = (*old.shape[:-2], new.shape[-2], old.shape[-1])
    raise ValueError(
        f"KeyValueCache: {name} has shape {new.shape} and dtype {new.dtype}, expected {expected} and {old.dtype}"
    )


def cache_within(cache: KeyValueCache | None, name: str) -> KeyValueCache | None:
    """The view of a cache for a part of the model, if there is a cache."""
    return None if cache is None else cache.within(name)


def _room_for(x: ndarray, length: int) -> ndarray:
    return np.empty((*x.shape[:-2], length, x.shape[-1]), x.dtype)


def _read_only(x: ndarray) -> ndarray:
    x.setflags(write=False)
    return x


def refuse_backward(dy: ndarray) -> None:
    """The backward of a forward pass through a cache. Raises TypeError."""
    raise TypeError(
        "KeyValueCache: a forward pass through a key-value cache has no backward; call the model without one"
    )
