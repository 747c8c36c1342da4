"""Arrays inside of tuples, lists and dicts: one array by itself is the simplest such tree."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy import ndarray


def is_floating(x: object) -> bool:
    return isinstance(x, ndarray) and x.dtype.kind in "fc"


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with each leaf replaced by `function(leaf)`; its tuples, lists and dicts are new ones."""
    if isinstance(tree, ndarray):
        return function(tree)
    if isinstance(tree, tuple) and hasattr(tree, "_make"):
        return tree._make(mapped(function, item) for item in tree)
    if isinstance(tree, tuple | list):
        return type(tree)(mapped(function, item) for item in tree)
    if isinstance(tree, Mapping):
        return {key: mapped(function, item) for key, item in tree.items()}
    return function(tree)


def leaves(name: str, tree: Any) -> dict[str, Any]:
    """What a tree holds, by names such as "params['w']" or "state[0]"; of what is no tree, itself by its name."""
    if isinstance(tree, ndarray):
        return {name: tree}
    if isinstance(tree, Mapping):
        items = list(tree.items())
    elif isinstance(tree, tuple | list):
        items = list(enumerate(tree))
    else:
        return {name: tree}
    found: dict[str, Any] = {}
    for key, item in items:
        found |= leaves(f"{name}[{key!r}]", item)
    return found


def floating_leaves(name: str, tree: Any) -> dict[str, ndarray]:
    if isinstance(tree, ndarray):
        return {name: tree} if is_floating(tree) else {}
    return {place: x for place, x in leaves(name, tree).items() if is_floating(x)}


def is_tree(x: object) -> bool:
    return not isinstance(x, ndarray) and isinstance(x, tuple | list | Mapping)


def as_array(x: Any) -> Any:
    """Whatever NumPy can read as an array of numbers, such as a number, or another library's tensor; else as it is."""
    if isinstance(x, ndarray | np.generic) or x is None or callable(x):
        return x
    if isinstance(x, bool | int | float | complex) or hasattr(x, "__array__"):
        detach = getattr(x, "detach", None)  # a tensor of PyTorch that is part of a graph refuses `__array__`
        return np.asarray(detach() if callable(detach) else x)[()]
    return x
