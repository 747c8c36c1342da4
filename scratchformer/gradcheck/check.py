from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.contracts import broken_promises
from scratchformer.gradcheck.probes import Probes, cotangent, probe_directions, probe_elements, raised
from scratchformer.gradcheck.report import Report, example
from scratchformer.gradcheck.subject import Subject, layer_subject, op_subject, pair, split_into_parts
from scratchformer.gradcheck.verdicts import judge

Zero = Mapping[str, str]
"""Gradients that are zero by mathematics: the reason, by tensor."""


def check_op(
    op: Callable[..., Any],
    *arguments: Any,
    seed: int = 0,
    zero: Zero | None = None,
    contract: bool = True,
    name: str | None = None,
    **options: Any,
) -> Report:
    """Compares every gradient of an op with three oracles, and checks the promises of the op contract.

    Args:
        op: `op(*arguments, **options)` returns its output and its backward, which takes the output's cotangent and
            returns one gradient per floating argument (a bare array if there is one), None where there is none.
        arguments: what it is called with. Floating arrays are differentiated, in float64; there must be one.
        seed: of the cotangent and of the directions that are tried.
        zero: gradients that are zero by mathematics, by argument, with the reason.
        contract: whether the promises beside the gradients are checked too.
        name: to report; the op's own if none is given.
        options: of the op, passed on.

    Raises:
        TypeError: nothing to differentiate, no backward, or gradients of wrong number or shape.
        ValueError: arguments or an output that are not finite.
    """
    return check(op_subject(op, *arguments, name=name, **options), "check_op", seed, zero, contract)


def check_layer(
    layer: Any,
    *arguments: Any,
    seed: int = 0,
    zero: Zero | None = None,
    contract: bool = True,
    name: str | None = None,
    call: Callable[..., Any] | None = None,
    split: Mapping[str, int] | None = None,
    **options: Any,
) -> Report:
    """Compares the gradients of a layer's inputs and of all its parameters with three oracles, as `check_op` does.

    Args:
        layer: `layer(*arguments, **options)` returns its output and its backward, which adds to the `.grad` of the
            layer's `parameters()`; `layer.astype(dtype)` is a copy. Its parameters' values are taken as they are:
            give them random ones, a weight of 1 or a bias of 0 hides what is multiplied by it or added.
        call: `call(layer, *arguments, **options)` in place of calling the layer, such as a model's `loss`.
        split: into how many equal parts of its last axis a tensor is cut, each judged for itself: of a joint projection
            to keys and values, say. They are then named `key_value.bias, part 1 of 2`.
        arguments, seed, zero, contract, name, options: as for `check_op`; `zero` by argument or parameter.

    Raises what `check_op` raises.
    """
    subject = split_into_parts(layer_subject(layer, *arguments, name=name, call=call, **options), split or {})
    return check(subject, "check_layer", seed, zero, contract)


def check_gradient(
    function: Callable[..., Any],
    gradient: Callable[..., Any],
    *arrays: ndarray,
    seed: int = 0,
    zero: Zero | None = None,
) -> Report:
    """Compares `gradient(*arrays)` with the derivatives of the scalar `function(*arrays)`, as `check_op` does."""
    return check(op_subject(pair(function, gradient), *arrays), "check_gradient", seed, zero, contract=False)


def check(subject: Subject, checker: str, seed: int, zero: Zero | None, contract: bool) -> Report:
    """What the functions above do, for anything that was made a subject."""
    zero = dict(zero or {})
    if unknown := zero.keys() - subject.tensors.keys():
        raise ValueError(f"{subject.name}: zero names {min(unknown)!r}, there are {', '.join(subject.tensors)}")
    with np.errstate(all="ignore"):
        y, backward = subject.forward()
        if not np.isfinite(y).all():
            raise ValueError(f"{subject.name}: its output must be finite, it holds infinities or NaN")
        dy = cotangent(y, seed)
        gradients = {name: dx.copy() for name, dx in backward(dy).items()}
        twin = raised(subject)
        probed: dict[str, tuple[Probes, Probes]] = {}
        for i, (name, gradient) in enumerate(gradients.items()):
            generator = np.random.default_rng([seed, 2, i])
            elements = probe_elements(subject, twin, dy, name, gradient, generator)
            probed[name] = elements, probe_directions(subject, twin, dy, name, gradient, generator)
        largest = max(elements.scale for elements, _ in probed.values())
        largest = max(largest, float(np.abs(dy).max(initial=0)), float(np.abs(dy * y).max(initial=0)))
        shapes = {name: x.shape for name, x in subject.tensors.items()} | {"the output": np.shape(dy)}
        findings = [
            judge(name, *probes, gradients[name], largest, zero.get(name), shapes) for name, probes in probed.items()
        ]
        promises = broken_promises(subject, dy, seed) if contract else []
    return Report(subject.name, findings, promises, example(checker, subject, seed), subject)
