from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.oracles import (
    EPSILON,
    Direction,
    central_difference,
    complex_step,
    moved_along,
    rounding_of,
    taylor_slope,
)
from scratchformer.gradcheck.subject import Subject

ELEMENTWISE = 32
"""Of a tensor of up to so many elements each is probed; of a larger one some elements and some directions."""
NUM_ELEMENTS, NUM_DIRECTIONS = 12, 3
AGREEMENT = 1e-5


@dataclass(frozen=True)
class Probes:
    """A gradient beside what the oracles say of it, at some elements or along some directions of its tensor.

    `exact` is what the complex step says, None where it does not apply; `taylor` the order of the Taylor remainder.
    """

    places: Sequence[Direction]
    analytic: ndarray
    numeric: ndarray
    noise: ndarray
    left: ndarray
    right: ndarray
    is_kink: ndarray
    exact: ndarray | None
    taylor: float | None

    @property
    def reference(self) -> ndarray:
        """The sharpest oracle that applies."""
        return self.numeric if self.exact is None else self.exact

    @property
    def scale(self) -> float:
        """The largest magnitude of the true gradient."""
        return float(np.abs(self.reference).max(initial=0))


def cotangent(y: Any, seed: int) -> Any:
    """Normal numbers of the output's shape, from a stream of their own; one number for a scalar."""
    dy = np.random.default_rng([seed, 1]).standard_normal(np.shape(y))
    return dy if np.ndim(y) else float(dy)


def raised(subject: Subject) -> Subject | None:
    """The subject in complex128, None where its forward pass does not go through in it."""
    try:
        twin = subject.astype(np.complex128)
        return twin if np.iscomplexobj(twin.forward()[0]) else None
    except Exception:  # whatever stops a forward pass in complex numbers: there is then no complex step
        return None


def probe_elements(
    subject: Subject, twin: Subject | None, dy: Any, name: str, analytic: ndarray, generator: np.random.Generator
) -> Probes:
    """Every element of a small tensor, some of a large one; an infinity, of a mask for instance, cannot be moved."""
    places = [tuple(map(int, index)) for index in np.argwhere(np.isfinite(subject.tensors[name]))]
    if len(places) > ELEMENTWISE:
        places = [places[i] for i in np.sort(generator.choice(len(places), NUM_ELEMENTS, replace=False))]
    return _probe(subject, twin, dy, name, analytic, places, generator)


def probe_directions(
    subject: Subject, twin: Subject | None, dy: Any, name: str, analytic: ndarray, generator: np.random.Generator
) -> Probes:
    """Random directions through a large tensor, of which elements alone would say too little; one through a small."""
    count = NUM_DIRECTIONS if analytic.size > ELEMENTWISE else 1
    movable = np.isfinite(subject.tensors[name])
    directions = [np.where(movable, generator.standard_normal(analytic.shape), 0.0) for _ in range(count)]
    return _probe(subject, twin, dy, name, analytic, directions, generator)


def _probe(
    subject: Subject,
    twin: Subject | None,
    dy: Any,
    name: str,
    analytic: ndarray,
    places: Sequence[Direction],
    generator: np.random.Generator,
) -> Probes:
    x = subject.tensors[name]
    size = float(np.abs(x[np.isfinite(x)]).max(initial=0))
    slopes, exact = [], []
    with loss_along(subject, dy, name, np.where(np.isfinite(x), generator.standard_normal(x.shape), 0.0)) as phi:
        terms = float(np.abs(dy * subject.forward()[0]).sum())  # which may cancel in the loss
        rounding = rounding_of(phi, size) + 4 * EPSILON * terms
    for place in places:
        with loss_along(subject, dy, name, place) as phi:
            slopes.append(central_difference(phi, size, rounding))
        if twin is not None:
            with loss_along(twin, dy, name, place) as phi:
                exact.append(complex_step(phi))
    along = [float(analytic[place] if isinstance(place, tuple) else np.sum(place * analytic)) for place in places]
    taylor = None
    for place, derivative in zip(places[:1], along, strict=False):
        with loss_along(subject, dy, name, place) as phi:
            taylor = taylor_slope(phi, derivative, rounding)
    columns = ("value", "noise", "left", "right")
    numeric, noise, left, right = (np.array([getattr(slope, column) for slope in slopes], float) for column in columns)
    is_kink = np.array([slope.is_kink for slope in slopes], bool)
    found = None if twin is None else np.array(exact, float)
    if found is not None and not _is_analytic(found, numeric, noise, is_kink):
        found = None
    return Probes(places, np.array(along), numeric, noise, left, right, is_kink, found, taylor)


def _is_analytic(exact: ndarray, numeric: ndarray, noise: ndarray, is_kink: ndarray) -> bool:
    """Whether the complex step applies: it then says what the differences say, as far as these can tell."""
    if not np.isfinite(exact).all() or is_kink.any():
        return False
    scale = np.abs(numeric).max(initial=0)
    return bool((np.abs(exact - numeric) <= AGREEMENT * scale + 10 * noise).all())


@contextmanager
def loss_along(subject: Subject, dy: Any, name: str, place: Direction) -> Iterator[Callable[[complex], Any]]:
    """Gives phi(t), the loss sum(dy y) where a tensor was moved by t along a direction or an axis."""
    with moved_along(subject.tensors[name], place) as move:

        def phi(t: complex) -> Any:
            move(t)
            return np.sum(dy * subject.forward()[0])

        yield phi
