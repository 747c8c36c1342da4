"""Which arrays of an object are its parameters, and where their gradients are: one call of it shows that."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subjects.arguments import check_arguments, check_tensors, named_arguments
from scratchformer.gradcheck.subjects.copying import copied
from scratchformer.gradcheck.subjects.op import OpSubject
from scratchformer.gradcheck.subjects.places import (
    Place,
    arrays_of,
    found_at,
    gradient_place,
    numbers_as_arrays,
    written,
)
from scratchformer.gradcheck.subjects.returned import misfit_of, required
from scratchformer.gradcheck.subjects.source_text import call_text
from scratchformer.gradcheck.subjects.stateful import Conventions, StatefulOp
from scratchformer.gradcheck.subjects.subject import Call
from scratchformer.gradcheck.subjects.trees import as_array, is_floating, leaves
from scratchformer.gradcheck.subjects.wording import NOT_DIFFERENTIATED, quoted

FORWARDS = ("forward", "__call__", "forward_pass", "fprop", "feedforward", "call", "apply")
BACKWARDS = ("backward", "backward_pass", "bprop", "backprop", "backpropagate", "back")
STEPS = ("update", "step", "update_params", "update_parameters", "update_weights")
"""Methods that step the parameters after backward, at a learning rate."""
NOT_FOUND = 'no gradient of it was found; say where it is kept, as in gradients={"W": "dW"}'


def object_subject(
    owner: Any,
    arguments: Sequence[Any],
    options: Mapping[str, Any],
    forward: str = "",
    backward: str = "",
    gradients: Mapping[str, str] | None = None,
    learning_rate: str = "",
    name: str | None = None,
) -> tuple[OpSubject, list[str]]:
    """An object as a subject, and remarks: what is not differentiated, although the output depends on it.

    Args: as for `check_object`.

    Raises TypeError for an object without such methods, or that cannot be copied, or a gradient that is not there.
    """
    name = name or type(owner).__name__
    forward = forward or _forward(name, owner)
    backward = backward or next((method for method in BACKWARDS if callable(getattr(owner, method, None))), "")
    for method in filter(None, (forward, backward)):
        if not callable(getattr(owner, method, None)):
            raise TypeError(f"{name}: an object needs the method {method}(), {type(owner).__name__} has none")
    function = getattr(owner, forward)
    named = named_arguments(function, arguments)
    check_arguments(name, function, named)
    try:
        base = copied(owner, {}, np.float64)
    except Exception as error:
        raise TypeError(f"{name}: an object is copied for each call, and this one cannot be: {error}") from error
    inputs: list[Any] = [x.astype(np.float64) if is_floating(x) else x for x in named.values()]
    op = StatefulOp(base, Conventions(forward, backward, learning_rate), list(named))
    if numbers_as_arrays(base, _Trial.of(op, inputs, options).after):
        op = StatefulOp(base, op.conventions, op.names)
    op, missing = _with_parameters(name, _Trial.of(op, inputs, options), gradients or {})
    step = next((method for method in STEPS if callable(getattr(owner, method, None))), "")
    if missing and step and required(getattr(owner, step)) == 1:
        stepping = StatefulOp(base, Conventions(forward, backward, learning_rate, step), list(named))
        op, missing = _with_parameters(name, _Trial.of(stepping, inputs, options), gradients or {})
    values = {key: found_at(base, place) for key, place in op.conventions.parameters.items()}
    named = {f"{key} (input)" if key in values else key: x for key, x in named.items()}
    text = call_text("check_object", f"<the same {type(owner).__name__}>", named, options)
    is_single = _returns_float32(owner, forward, inputs, options)
    subject = OpSubject(Call(name, op, named | values, options, text), takes_float32_alone=is_single)
    check_tensors(name, subject.tensors)
    return subject, [f"{NOT_DIFFERENTIATED}{text}, {NOT_FOUND}" for text in missing]


def _forward(name: str, owner: Any) -> str:
    found = next((method for method in FORWARDS if callable(getattr(owner, method, None))), None)
    if found is None:
        raise TypeError(f'{name}: it has none of the methods {quoted(FORWARDS)}; give the name, forward="..."')
    return found


def _returns_float32(owner: Any, forward: str, inputs: Sequence[Any], options: Mapping[str, Any]) -> bool:
    """Whether the object as it is computes in float32 alone, so that float64 would change what it does."""
    try:
        y = getattr(copy.deepcopy(owner), forward)(*inputs, **options)
    except Exception:  # as with float64 for an object that refuses it
        return False
    return any(isinstance(part, ndarray) and part.dtype == np.float32 for part in leaves("", y).values())


@dataclass(frozen=True)
class _Trial:
    """One call of forward and backward.

    Attributes:
        op: the object, without parameters.
        inputs, options: of forward.
        y: the output.
        after: the object after backward.
        returned: what backward returned.
    """

    op: StatefulOp
    inputs: Sequence[Any]
    options: Mapping[str, Any]
    y: Any
    after: Any
    returned: Any

    @classmethod
    def of(cls, op: StatefulOp, inputs: Sequence[Any], options: Mapping[str, Any]) -> "_Trial":
        used, y, kept = op.forward(inputs, {}, options)
        generator = np.random.default_rng(0)
        parts = list(y) if isinstance(y, tuple | list) else [y]
        cotangents = [np.asarray(generator.standard_normal(np.shape(part)))[()] for part in parts]
        if callable(kept):
            raise TypeError(
                f"{type(op.owner).__name__}: forward returns its backward; check_layer or check_op takes that"
            )
        if not op.conventions.backward and (np.ndim(as_array(y)) or kept is None):
            raise TypeError(
                f"{type(op.owner).__name__}: it has none of the methods {quoted(BACKWARDS)}; "
                'give the name, backward="...", unless forward returns a loss and its gradients'
            )
        after, returned = op.backward(used, inputs, options, y, kept, cotangents)
        return cls(op, inputs, options, y, after, returned)

    @property
    def arrays(self) -> dict[Place, ndarray]:
        """All that may be a gradient."""
        returned = arrays_of({"returned": self.returned}, has_numbers=True)
        found = {place: x for place, x in returned.items() if len(place) > 1}
        return arrays_of(self.after, has_numbers=True) | found

    def is_stepped(self, place: Place, x: ndarray) -> bool:
        """Whether backward took something from an array."""
        now = found_at(self.after, place)
        return isinstance(now, ndarray) and now.shape == x.shape and not np.array_equal(now, x, equal_nan=True)

    def depends_on(self, place: Place, x: ndarray) -> bool:
        """Whether the output changes with an array of the object."""
        moved = x + np.random.default_rng(1).standard_normal(x.shape) * np.maximum(np.abs(x), 0.5)
        op = StatefulOp(self.op.owner, replace(self.op.conventions, parameters={"": place}), self.op.names)
        try:
            there = op.forward(self.inputs, {"": moved}, self.options)[1]
        except Exception:  # outside of its domain
            return True
        before, after = ([np.asarray(as_array(part)) for part in leaves("", y).values()] for y in (self.y, there))
        return not all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def _with_parameters(name: str, trial: _Trial, chosen: Mapping[str, str]) -> tuple[StatefulOp, list[str]]:
    """The op with its parameters, and what else its output depends on; `chosen` are the user's places."""
    held, arrays = arrays_of(trial.op.owner), trial.arrays
    by_text = {written(place): place for place in [*held, *arrays]}
    chosen = _of_each_array(chosen, by_text)
    if unknown := [text for pair in chosen.items() for text in pair if text not in by_text]:
        raise TypeError(f"{name}: gradients names {unknown[0]!r}, there are {quoted(by_text)}")
    places: dict[str, Place | None] = {}
    missing: dict[str, ndarray] = {}
    for x in {id(x): x for x in held.values()}.values():
        names = [place for place, other in held.items() if other is x]
        found = {place: gradient_place(place, x.shape, arrays) for place in names}
        found |= {place: by_text[chosen[written(place)]] for place in names if written(place) in chosen}
        place = next((place for place in names if written(place) in chosen), None)
        place = place or next((place for place, of_place in found.items() if of_place is not None), names[0])
        if written(place) not in chosen and not trial.depends_on(place, x):
            continue
        if found[place] is not None or trial.is_stepped(place, x):
            places[written(place)] = found[place]
        else:
            missing[written(place)] = x
    if returned := _by_shape(trial, missing):
        places.update(returned)
        missing = {}
    parameters = {text: by_text[text] for text in places}
    conventions = replace(trial.op.conventions, parameters=parameters, gradients=places)
    return StatefulOp(trial.op.owner, conventions, trial.op.names), list(missing)


def _of_each_array(chosen: Mapping[str, str], by_text: Mapping[str, Place]) -> dict[str, str]:
    """The user's places; one that is no array stands for what it holds, as in {"theta": "delta"} or {"v": "g"}.

    It is either where a place begins, or the last name of it.
    """
    found: dict[str, str] = {}
    for name, gradient in chosen.items():
        begun = {text: gradient + text[len(name) :] for text in by_text if text.startswith((f"{name}.", f"{name}["))}
        ended = {text: text.removesuffix(name) + gradient for text in by_text if text.endswith(f".{name}")}
        pairs = {} if name in by_text else begun or ended
        found |= {text: other for text, other in pairs.items() if other in by_text} or {name: gradient}
    return found


def _by_shape(trial: _Trial, missing: Mapping[str, ndarray]) -> dict[str, Place]:
    """The places of gradients in what backward returns, one for each parameter: by their order, or by their shapes."""
    if not isinstance(trial.returned, tuple | list) or not missing:
        return {}
    given = arrays_of({"returned": trial.returned}, has_numbers=True)
    for skipped in (len(trial.inputs), sum(map(is_floating, trial.inputs)), 0):
        places = list(given)[skipped:]
        if len(places) == len(missing):
            pairs = dict(zip(missing, places, strict=True))
            if not any(misfit_of(text, given[place], missing[text].shape) for text, place in pairs.items()):
                return pairs
    found = {text: [place for place, dx in given.items() if dx.shape == x.shape] for text, x in missing.items()}
    return {text: places[0] for text, places in found.items()} if all(len(p) == 1 for p in found.values()) else {}
