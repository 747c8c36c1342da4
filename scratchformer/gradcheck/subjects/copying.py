"""Copies of objects in another dtype."""

import copy
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.gradcheck.subjects.places import Place, arrays_of


def copied(owner: Any, replaced: Mapping[Place, ndarray], dtype: DTypeLike) -> Any:
    """A deep copy with arrays replaced wherever they are used, and all other floating arrays in a dtype."""
    memo: dict[int, Any] = uncopied(owner)
    held = arrays_of(owner)
    memo |= {id(x): x.astype(dtype) for x in held.values()}
    memo |= {id(held[place]): x for place, x in replaced.items()}
    return copy.deepcopy(owner, memo)


def uncopied(owner: Any) -> dict[int, Any]:
    """What is not copied."""
    return {id(x): x for x in getattr(owner, "__dict__", {}).values() if isinstance(x, ModuleType)}
