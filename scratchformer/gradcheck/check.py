from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.judgement.report import Report
from scratchformer.gradcheck.judgement.verdicts import judge
from scratchformer.gradcheck.numeric.kinks import probe
from scratchformer.gradcheck.numeric.points import point_at, precision_of, with_twins
from scratchformer.gradcheck.numeric.probes import cotangent
from scratchformer.gradcheck.promises.contracts import broken_promises
from scratchformer.gradcheck.promises.gradient_sets import largest_input
from scratchformer.gradcheck.subjects.again import example, name_of, written_call
from scratchformer.gradcheck.subjects.misuse import check_zero
from scratchformer.gradcheck.subjects.of_layer import layer_subject
from scratchformer.gradcheck.subjects.of_op import named, op_subject, pair
from scratchformer.gradcheck.subjects.subject import Subject, split_into_parts

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
        ValueError: arguments or an output that are not finite, or an output that changes from call to call.

    Derivation: `python -m scratchformer derive gradient_checking`.
    """
    return check(op_subject(op, *arguments, name=name, **options), seed, zero, contract, {})


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

    Derivation: `python -m scratchformer derive gradient_checking`.
    """
    subject = layer_subject(layer, *arguments, name=name, call=call, **options)
    subject = split_into_parts(subject, {} if split is None else split)
    others = {"call": call, "split": split}
    return check(subject, seed, zero, contract, {key: given for key, given in others.items() if given})


def check_gradient(
    function: Callable[..., Any],
    gradient: Callable[..., Any],
    *arrays: ndarray,
    seed: int = 0,
    zero: Zero | None = None,
) -> Report:
    """Compares `gradient(*arrays)` with the derivatives of the scalar `function(*arrays)`, as `check_op` does.

    Derivation: `python -m scratchformer derive gradient_checking`.
    """
    op = pair(function, gradient)
    call = written_call("check_gradient", f"{name_of(function)}, {name_of(gradient)}", named(op, arrays), {})
    return check(op_subject(op, *arrays, call=call), seed, zero, False, {})


def check(subject: Subject, seed: int, zero: Zero | None, contract: bool, others: Mapping[str, Any]) -> Report:
    """What the functions above do, for anything that was made a subject; `others` are more of the options given."""
    zero = {} if zero is None else zero
    check_zero(subject.name, zero, subject.tensors)
    with np.errstate(all="ignore"):
        y, _ = subject.forward()
        if not np.isfinite(y).all():
            raise ValueError(f"{subject.name}: its output must be finite, it holds infinities or NaN")
        dy = cotangent(y, seed)
        precision = precision_of(subject)
        point = with_twins(point_at(subject, dy, precision))
        probed = {
            name: probe(point, name, np.random.default_rng([seed, 2, i])) for i, name in enumerate(point.gradients)
        }
        largest = max(elements.scale for elements, _ in probed.values())
        largest = max(largest, float(np.abs(dy).max(initial=0)))
        shapes = {name: x.shape for name, x in subject.tensors.items()} | {"the output": np.shape(dy)}
        findings = [
            judge(name, *probes, point.gradients[name], largest, largest_input(subject), zero.get(name), shapes)
            for name, probes in probed.items()
        ]
        is_finite = all(np.isfinite(dx).all() for dx in point.gradients.values())
        promises = broken_promises(subject, dy, seed, precision) if contract and is_finite else []
    options = {"seed": seed} | ({"zero": dict(zero)} if zero else {}) | dict(others)
    options |= {} if contract or "check_gradient" in subject.call else {"contract": False}
    return Report(subject.name, findings, promises, example(subject.call, options), subject)
