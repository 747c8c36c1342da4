r"""Applies functions of a page's code, as in \phi(h) and \mathrm{norm}(x)_k.

A function takes whole arrays. Where its arguments or its own subscript have indices, it is applied once for each value
of these.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from scratchformer.derivations.formulas.nodes import FormulaError, Node, symbols_of
from scratchformer.derivations.formulas.tensors import Tensor

if TYPE_CHECKING:
    from scratchformer.derivations.formulas.evaluation import Evaluator


def applied(evaluator: "Evaluator", node: Node) -> Tensor:
    """The value of a function; its result has the subscripts behind the brackets."""
    _, name, before, arguments, after = node
    bindings = evaluator.bindings
    axes = bindings.names.functions[name][1]
    if len(axes) != len(after):
        raise FormulaError(f"{name} has {len(after)} subscripts behind its brackets, expected {len(axes)}")
    inner = {symbol[1]: None for symbol in symbols_of((before, arguments))}
    letters = tuple(letter for letter in inner if letter in bindings.names.letters)
    ranges = [bindings.values(letter) for letter in letters]
    results = [
        _called(evaluator, node, dict(zip(letters, numbers, strict=True))) for numbers in itertools.product(*ranges)
    ]
    stacked = np.reshape(results, tuple(map(len, ranges)) + results[0].shape)
    return evaluator.indexed(name, Tensor(stacked, letters), after, axes)


def _called(evaluator: "Evaluator", node: Node, at: Mapping[str, float]) -> np.ndarray:
    _, name, before, arguments, _ = node
    function = cast(Callable[..., object], evaluator.bindings.run(evaluator.bindings.names.functions[name][0], name))
    values = [raw(evaluator, part, at) for part in (*before, *arguments)]
    try:
        return np.asarray(function(*values))
    except Exception as error:
        raise FormulaError(f"{name} cannot be applied: {type(error).__name__}: {error}") from error


def raw(evaluator: "Evaluator", node: Node, at: Mapping[str, float]) -> np.ndarray:
    """The whole array of an argument, where indices have the given values."""
    from scratchformer.derivations.formulas.evaluation import ARITHMETIC

    kind, *parts = node
    if kind == "number":
        return np.array(parts[0])
    if kind == "negative":
        return -raw(evaluator, parts[0], at)
    if kind in ARITHMETIC:
        return ARITHMETIC[kind](*(raw(evaluator, part, at) for part in parts))
    if kind == "apply":
        return _called(evaluator, node, at)
    if kind != "symbol":
        raise FormulaError(f"{kind} cannot be an argument of a function")
    if not parts[1] and parts[0] in at:
        return np.array(at[parts[0]])
    name, subscripts = evaluator.named(*parts)
    code, axes = evaluator.bindings.fitting(name, subscripts)
    array = evaluator.array(code, name)
    places = [
        int(evaluator.bindings.places(name, axis, Tensor(raw(evaluator, part, at))).array)
        for part, axis in zip(subscripts, axes, strict=False)
    ]
    return array[tuple(places)]
