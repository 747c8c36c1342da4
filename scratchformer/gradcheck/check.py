"""Is a gradient right? Four steps, one room each; `_check` goes through them.

1. `subjects`: whatever is tested becomes a `Subject`, with a forward pass, a backward pass, and tensors
   to differentiate by.
2. `numeric`: derivatives of a random loss are measured, without the backward pass.
3. `judgement`: verdicts. `verdicts.py` says when a gradient is called wrong, and `errors.py` how far off it may be.
4. `promises`: what else the contract asks of a backward pass.
"""

import inspect
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.gradcheck.judgement.in_hypothesis import note_time
from scratchformer.gradcheck.judgement.report import PASSED, Contract, Finding, OracleErrors, Report
from scratchformer.gradcheck.judgement.verdicts import judge
from scratchformer.gradcheck.numeric.budget import Effort
from scratchformer.gradcheck.numeric.epsilon import EPSILON, FLOAT32_EPSILON
from scratchformer.gradcheck.numeric.points import Point, measured, starting_point, whole_of
from scratchformer.gradcheck.numeric.probing import probe_tensors
from scratchformer.gradcheck.promises.promises import broken_promises
from scratchformer.gradcheck.promises.repetition import SUSPECTED, Repetition
from scratchformer.gradcheck.subjects.discovery import object_subject
from scratchformer.gradcheck.subjects.frameworks import remarks_on
from scratchformer.gradcheck.subjects.layer import layer_subject
from scratchformer.gradcheck.subjects.op import op_subject
from scratchformer.gradcheck.subjects.pair import pair_subject
from scratchformer.gradcheck.subjects.source_text import complete_line
from scratchformer.gradcheck.subjects.subject import Subject
from scratchformer.gradcheck.subjects.wording import NOT_DIFFERENTIATED, quoted

SHAPE = "a gradient has the shape of its tensor"
Zero = Mapping[str, str]
"""For each tensor whose gradient is zero by mathematics, the reason."""


@checked_arguments
def check_op(
    op: Callable[..., Any],
    *arguments: Any,
    backward: Callable[..., Any] | None = None,
    seed: int | None = None,
    zero: Zero | None = None,
    contract: Contract = "advice",
    effort: Effort = "sample",
    name: str | None = None,
    **options: Any,
) -> Report:
    """Compares every gradient of an op with three oracles, and checks the promises of the op contract.

    Args:
        op: `op(*arguments, **options)` returns its output and its backward. That takes the cotangent, which is the
            gradient of a loss with respect to the output, and returns the gradients of the floating arguments: one
            array if there is one such argument, else a tuple, or a dict by their names, in which None stands for an
            argument that is not differentiated. Outputs, arguments and gradients may be tuples, lists or dicts of
            arrays. A loss may return its gradients in place of a backward, or have a backward without arguments.
            A `torch.autograd.Function`, a function of JAX, such as a `custom_vjp`, and an `Operation` of MyGrad are
            ops, too.
        arguments: of the op. Floating arrays are differentiated, in float64; there must be at least one. Numbers such
            as an eps are given by keyword.
        backward: the op's, if it is a function that stands apart. The op then returns its output, or outputs, and
            last what it keeps: `y, cache`. Backward takes the cotangents and what is kept, `(dy, cache)`, or the
            op's arguments by their names, `(dy, x, w)`, or the output, `(dy, y)`.
        seed: of the cotangent and of the directions, 0 if none is given; and of the op, if it takes a `seed`.
        zero: for each argument whose gradient is zero by mathematics, the reason.
        contract: "advice" says what other promises of the contract are broken, without failing for it. "required"
            fails for it, and a cotangent of another shape must then raise ValueError or TypeError, where else any
            error will do. False tries no promise.
        effort: "directions" probes random directions alone, in few forward passes; "sample" probes some elements,
            too; "everything" each of them.
        name: of the op in the report; its own if none is given.
        options: of the op; where it has one that is called as one of these, wrap it in a lambda.

    Raises:
        TypeError: nothing to differentiate, no backward, or gradients of wrong number or shape.
        ValueError: arguments that hold NaN, an output that is not finite or changes from call to call, or a name in
            `zero` that is no argument.

    Derivation: `python -m scratchformer derive gradient_checking`.
    """
    options |= _own_seed(op, seed)
    subject = op_subject(op, arguments, options, name, backward)
    return _check(subject, seed or 0, zero, contract, effort, remarks=remarks_on(op))


@checked_arguments
def check_layer(
    layer: Any,
    *arguments: Any,
    seed: int = 0,
    zero: Zero | None = None,
    contract: Contract = "advice",
    effort: Effort = "sample",
    name: str | None = None,
    call: Callable[..., Any] | None = None,
    split: Mapping[str, int] | None = None,
    **options: Any,
) -> Report:
    """Compares the gradients of a layer's inputs and of all its parameters with three oracles, as `check_op` does.

    Args:
        layer: `layer(*arguments, **options)` returns its output and its backward, which adds to the `.grad` of the
            layer's `parameters()`, a mapping from names to objects with `.value` or `.data`, or a list of them.
            `layer.astype(dtype)` is a copy; a layer without it is copied as any object is. Give its parameters random
            values first: a weight of 1 hides what is multiplied by it, a bias of 0 what is added.
        call: `call(layer, *arguments, **options)` is tested instead of `layer(*arguments, **options)`, such as a
            model's `loss`.
        split: the number of equal parts that a tensor is cut into along its last axis, as the keys' and the values'
            half of a joint projection. Each part is judged by itself, with a name like "key_value.bias, part 1 of 2".
        arguments, seed, zero, contract, effort, name, options: as for `check_op`; `zero` by argument or parameter.

    Raises what `check_op` raises.

    Derivation: `python -m scratchformer derive gradient_checking`.
    """
    subject = layer_subject(layer, arguments, options, name, call, split)
    given = ({"call": call} if call else {}) | ({"split": split} if split else {})
    return _check(subject, seed, zero, contract, effort, given)


@checked_arguments
def check_object(
    owner: Any,
    *arguments: Any,
    forward: str = "",
    backward: str = "",
    gradients: Mapping[str, str] | None = None,
    learning_rate: str = "",
    seed: int = 0,
    zero: Zero | None = None,
    contract: Contract = "advice",
    effort: Effort = "sample",
    name: str | None = None,
    **options: Any,
) -> Report:
    """Compares the gradients of an object that keeps its state to itself: of its inputs, and of its parameters.

    Each call works on a fresh copy of the object. NumPy's global generator gets the same seed before each forward
    pass. Gradients are set to zero before each backward pass, and a learning rate inside of it is 1: what is then
    taken from a parameter is its gradient.

    Parameters are found by their names: `dW`, `grad_W`, `W_grad` or `grads["W"]` is the gradient of `W` or
    `params["W"]`, and `w.grad` that of `w.data` or `w.value`, in whatever the object holds. The report says on what
    else the output depends.

    Args:
        owner: the object. Give its parameters random values first.
        arguments, options: of forward. Numbers such as an eps are given by keyword.
        forward, backward: the names of its methods, if they are not the usual ones. Backward takes the cotangent, or
            arguments of forward by their names, or what forward returned as a cache; that of a loss may take nothing.
            Without a backward, forward returns a loss and its gradients.
        gradients: where the gradient of a parameter is kept, if its name does not say so, such as `{"W": "delta"}`;
            "returned[1]" is the second result of backward.
        learning_rate: the name that backward gives it, if it is an unusual one.
        seed, zero, contract, effort, name: as for `check_op`.

    Raises what `check_op` raises, and TypeError for an object that has no such methods or cannot be copied.

    Derivation: `python -m scratchformer derive gradient_checking`.
    """
    subject, remarks = object_subject(owner, arguments, options, forward, backward, gradients, learning_rate, name)
    chosen = {"forward": forward, "backward": backward, "gradients": gradients, "learning_rate": learning_rate}
    given = {option: value for option, value in chosen.items() if value}
    return _check(subject, seed, zero, contract, effort, given, remarks)


@checked_arguments
def check_gradient(
    function: Callable[..., Any],
    gradient: Callable[..., Any],
    *arrays: Any,
    seed: int = 0,
    zero: Zero | None = None,
    effort: Effort = "sample",
) -> Report:
    """Compares `gradient(*arrays)` with the derivatives of the scalar `function(*arrays)`, as `check_op` does.

    Arrays and gradients may also be tuples, lists or dicts of arrays.

    Derivation: `python -m scratchformer derive gradient_checking`.
    """
    return _check(pair_subject(function, gradient, arrays), seed, zero, None, effort)


def _own_seed(op: Callable[..., Any], seed: int | None) -> dict[str, int]:
    """The seed as an option of an op that has one of this name."""
    try:
        taken = inspect.signature(op).parameters
    except (TypeError, ValueError):  # a built-in function without a signature
        return {}
    return {"seed": seed} if seed is not None and "seed" in taken else {}


def _check(
    subject: Subject,
    seed: int,
    zero: Zero | None,
    contract: Contract | None,
    effort: Effort,
    given: Mapping[str, Any] | None = None,
    remarks: Sequence[str] = (),
) -> Report:
    """What the functions above share.

    Args:
        subject: what is checked.
        seed, zero, effort: as above.
        contract: as above; None for a pair, which has no contract and no such option.
        given: more options of the check, for the line that repeats it.
        remarks: to be made in the report.
    """
    if seed < 0:
        raise ValueError(f"{subject.name}: seed must not be negative, got {seed}")
    zero = {} if zero is None else zero
    check_zero(subject.name, zero, subject.tensors)
    start = time.perf_counter()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)  # of lines of the user, such as float(...)
        point = _starting_point(subject, seed)
        repetition = Repetition(point)
        changing = repetition.changing()
        point = measured(point) if point.gradients else point
        findings = _judged(point, changing, seed, zero, effort)
        can_be_tried = not changing and all(np.isfinite(dx).all() for dx in point.gradients.values())
        can_be_tried &= bool(point.gradients) and not subject.remarks.misfits
        broken = broken_promises(whole_of(point), seed, contract == "required") if contract and can_be_tried else []
        is_suspected = any(finding.verdict not in PASSED for finding in findings)
        attempts = max(1, min(SUSPECTED, point.budget.left)) if is_suspected else 1
        late = repetition.changing(attempts)  # after so many calls, a slow drift shows as well
        if late.keys() != changing.keys():
            findings, broken = _judged(point, changing | late, seed, zero, effort), []
    broken = [f"{said} (promised: {SHAPE})" for said in subject.remarks.reshaped.values()] * bool(contract) + broken
    left_out = [f"{NOT_DIFFERENTIATED}{name}, {why}" for name, why in subject.remarks.not_differentiated.items()]
    note_time(subject.name, time.perf_counter() - start)
    options: dict[str, Any] = {} if "seed" in subject.call.options else {"seed": seed}
    options |= ({"zero": dict(zero)} if zero else {}) | dict(given or {})
    options |= {} if contract in ("advice", None) else {"contract": contract}
    options |= {} if effort == "sample" else {"effort": effort}
    line = complete_line(subject.call.text, options)
    seen = getattr(point.subject, "whole", point.subject)
    return Report(subject.name, findings, broken, line, seen, contract or False, [*left_out, *remarks])


# CPython keeps frames in blocks of 16 KiB, and maps a new one each time that a call reaches over the end of the last.
# At an unlucky depth every forward pass does, and a check takes up to twice as long. With one large frame below them,
# the block that holds it has room for all others.
_check.__code__ = _check.__code__.replace(co_stacksize=2**12)


def _starting_point(subject: Subject, seed: int) -> Point:
    """The point to measure at, in float32 if the function takes nothing else."""
    try:
        return starting_point(subject, seed)
    except Exception as error:
        single = replace(subject, takes_float32_alone=True)
        try:
            return starting_point(single, seed)
        except Exception:
            raise error from None


def _judged(point: Point, changing: Mapping[str, str], seed: int, zero: Zero, effort: Effort) -> list[Finding]:
    """A finding for each tensor. A gradient that changes from call to call is wrong, and is not measured."""
    steady = replace(point, gradients={name: dx for name, dx in point.gradients.items() if name not in changing})
    judged = judge(steady, probe_tensors(steady, seed, effort), zero) if steady.gradients else []
    findings = {finding.tensor: _to_precision(finding, point.precision) for finding in judged}
    refused = dict(changing) | point.subject.remarks.misfits
    findings |= {name: Finding(name, "wrong", OracleErrors(), seen) for name, seen in refused.items()}
    return [findings[name] for name in point.subject.tensors if name in findings]


def _to_precision(finding: Finding, precision: float) -> Finding:
    """The finding, right as far as a function can tell that computes in less than float64."""
    if precision <= EPSILON or finding.verdict not in ("right", "noisy"):
        return finding
    return replace(finding, verdict="right to float32" if precision <= FLOAT32_EPSILON else "right to float16")


def check_zero(name: str, zero: Mapping[str, str], tensors: Mapping[str, ndarray]) -> None:
    """Raises ValueError unless `zero` is a mapping from some of the tensors."""
    if unknown := zero.keys() - tensors.keys():
        raise ValueError(f"{name}: zero names {min(unknown)!r}, there are {quoted(tensors)}")
