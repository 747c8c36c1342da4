"""What a model's files say about it, key by key, so that nothing they say is passed over unseen."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from scratchformer.pretrained.tensors import shown

MOST = 2**31
"""More than any size that a configuration names."""
REQUIRED: Any = object()


class Keys:
    """The keys of a configuration. Each is taken, or passed over for a reason, or refused by its name at the end.

    Args:
        values: by key.
        where: their file, for messages.
        prefix: of the keys that count. Others are left alone, and messages show keys with it.
        most_layers: that the file can hold.
    """

    def __init__(self, values: Mapping[str, Any], where: str, prefix: str = "", *, most_layers: int = 0) -> None:
        self.where = where
        self.prefix = prefix
        self.most_layers = most_layers
        self._left = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def refused(self, key: str, value: Any, expected: str) -> ValueError:
        return ValueError(f"load: {self.where}: {self.prefix}{key} is {shown(value)}, expected {expected}")

    def integer(self, key: str, absent: Any = REQUIRED, *, null: Any = REQUIRED, least: int = 1) -> Any:
        """A whole number. It may be absent, or null, if it is said what that means. NumPy arrays hold one for each
        layer, which must all be the same."""
        value = self._take(key, absent, null, f"a whole number of at least {least}")
        if isinstance(value, np.ndarray) and value.size and (value == value.flat[0]).all():
            value = value.flat[0].item()
        if value is not absent and value is not null and (type(value) is not int or not least <= value < MOST):
            raise self.refused(key, value, f"a whole number of at least {least}")
        return value

    def layers(self, key: str) -> int:
        """The number of layers, which is not larger than that of tensors."""
        num_layers: int = self.integer(key)
        if num_layers > self.most_layers:
            raise self.refused(key, num_layers, f"at most {self.most_layers}, as many as there are tensors")
        return num_layers

    def number(self, key: str, absent: Any = REQUIRED, *, null: Any = REQUIRED) -> Any:
        """A finite number."""
        value = self._take(key, absent, null, "a number")
        if value is absent or value is null:
            return value
        if type(value) not in (int, float) or not math.isfinite(value):
            raise self.refused(key, value, "a number")
        return float(value)

    def flag(self, key: str, absent: Any = REQUIRED) -> Any:
        """True or false."""
        value = self._take(key, absent, REQUIRED, "true or false")
        if value is not absent and type(value) is not bool:
            raise self.refused(key, value, "true or false")
        return value

    def choice(self, key: str, choices: Mapping[str, Any], absent: Any = REQUIRED) -> Any:
        """What a word stands for."""
        word = self._take(key, absent, REQUIRED, f"one of {', '.join(choices)}")
        if not isinstance(word, str) or word not in choices:
            raise self.refused(key, word, f"one of {', '.join(choices)}")
        return choices[word]

    def group(self, key: str) -> dict[str, Any] | None:
        """An object; None if it is absent or null."""
        value = self._left.pop(key, None)
        if value is not None and not isinstance(value, dict):
            raise self.refused(key, value, "an object or null")
        return value

    def words(self, key: str) -> list[str] | None:
        """A list of words; None if it is absent or null."""
        value = self._left.pop(key, None)
        if value is not None and not (isinstance(value, list) and all(isinstance(word, str) for word in value)):
            raise self.refused(key, value, "a list of words or null")
        return value

    def must_be(self, expected: Mapping[str, Collection[Any]]) -> None:
        """Takes keys that may only have a value with which they ask for nothing that is not there."""
        for key, values in expected.items():
            if key in self._left:
                value = self._left.pop(key)
                if not any(type(value) is type(one) and value == one for one in values):
                    listed = " or ".join("null" if one is None else repr(one) for one in values)
                    raise self.refused(key, value, f"{listed}: nothing else is supported")

    def pass_over(self, harmless: Collection[str]) -> None:
        for key in harmless:
            self._left.pop(key, None)

    def finish(self) -> None:
        """Raises ValueError, with its name, for a key that was neither taken nor passed over."""
        for key, value in self._left.items():
            raise ValueError(
                f"load: {self.where}: the key {self.prefix}{shown(key).strip(chr(39))} is not supported, "
                f"its value is {shown(value)}"
            )

    def _take(self, key: str, absent: Any, null: Any, expected: str) -> Any:
        if key not in self._left:
            if absent is REQUIRED:
                raise ValueError(f"load: {self.where}: {self.prefix}{key} is missing, expected {expected}")
            return absent
        value = self._left.pop(key)
        if value is None:
            if null is REQUIRED:
                raise self.refused(key, value, expected)
            return null
        return value


def shortest(number: float) -> float:
    """The decimal number with the fewest digits that a number in 32 bits stands for: 1e-5, not 9.99999974e-06."""
    with np.errstate(over="ignore"):
        return float(str(np.float32(number)))
