"""Values that make no sense, or hardly any."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray


class Subclass(ndarray):
    """An array that is not plain."""


RECORDS = np.zeros(3, [("a", "f4"), ("b", "i4")])

ANYWHERE: list[Callable[[], Any]] = [
    lambda: None,
    lambda: True,
    lambda: False,
    lambda: 2.5,
    lambda: -1,
    lambda: 0,
    lambda: 7,
    lambda: 2**70,
    lambda: -(10**30),
    lambda: 10**400,
    lambda: float("nan"),
    lambda: float("inf"),
    lambda: -float("inf"),
    lambda: 1e300,
    lambda: 1j,
    lambda: "abc",
    lambda: "",
    lambda: b"abc",
    list,
    lambda: [1, 2],
    lambda: [None],
    lambda: ["a", "b"],
    lambda: [[1.0, 2.0], [3.0]],
    lambda: (),
    lambda: (1, 2),
    lambda: ("a",),
    dict,
    lambda: {"a": 1},
    lambda: {1: None},
    lambda: {1, 2},
    lambda: object(),
    lambda: len,
    lambda: int,
    lambda: Path("nowhere"),
    lambda: range(3),
    lambda: iter([1, 2]),
    lambda: np.random.default_rng(0),
    lambda: np.random.RandomState(0),
    lambda: np.float64("nan"),
    lambda: np.int64(-3),
    lambda: np.float16(2),
    lambda: np.bool_(True),
    lambda: np.complex128(1j),
    lambda: np.str_("a"),
    lambda: np.datetime64("2020"),
    lambda: np.dtype("int32"),
    lambda: np.dtype(">f4"),
    lambda: np.array(1.0),
    lambda: np.array(3),
    lambda: np.array(True),
    lambda: np.array("abc"),
    lambda: np.array([]),
    lambda: np.empty((0, 3)),
    lambda: np.ones((2, 2, 2, 2, 2)),
    lambda: np.ones(3),
    lambda: np.ones(3, bool),
    lambda: np.arange(4),
    lambda: np.array([1, "a", None], object),
    lambda: np.array(["a", "b"]),
    lambda: RECORDS.copy(),
    lambda: RECORDS.view(np.recarray),
    lambda: np.array(["2020"], "datetime64[D]"),
    lambda: np.ones(2, np.float16),
    lambda: np.ones(2, ">f8"),
    lambda: np.ma.masked_array(np.ones(3), [0, 1, 0]),
    lambda: np.matrix([[1.0, 2.0]]),
]


def with_one(x: ndarray, value: Any) -> ndarray:
    changed = x.copy()
    changed.flat[:1] = value
    return changed


OF_ARRAYS: list[Callable[[ndarray], Any]] = [
    lambda x: np.ma.masked_array(x),
    lambda x: np.ma.masked_array(x, np.ones(x.shape, bool)),
    lambda x: x.view(Subclass),
    lambda x: np.matrix(np.atleast_2d(x)) if x.ndim < 3 else x.view(Subclass),
    lambda x: np.rec.fromarrays([x]) if x.ndim else x.view(Subclass),
    lambda x: x.astype(x.dtype.newbyteorder(">")),
    lambda x: x.astype(np.float16),
    lambda x: x.astype(np.float32) if x.dtype == np.float64 else x.astype(np.float64),
    lambda x: x.astype(np.complex64),
    lambda x: x.astype(object),
    lambda x: x.astype(str),
    lambda x: x.astype(bytes),
    lambda x: x.astype("datetime64[D]") if x.dtype.kind in "iu" else x.astype(object),
    lambda x: x.astype(bool),
    lambda x: x.astype(np.int8),
    lambda x: x.astype(np.int64).astype(">i8"),
    lambda x: np.zeros(x.shape, [("a", x.dtype)]),
    lambda x: x.tolist(),
    lambda x: tuple(x.tolist()) if x.ndim else 1,
    lambda x: x.data if x.ndim else 1,
    lambda x: x[None],
    lambda x: x[None, None],
    lambda x: x[..., None],
    lambda x: x.ravel(),
    lambda x: x.ravel()[:1],
    lambda x: x.reshape(-1)[0] if x.size else x,
    lambda x: np.array(x.reshape(-1)[0]) if x.size else x,
    lambda x: x[:0] if x.ndim else x,
    lambda x: x[..., :0] if x.ndim else x,
    lambda x: x[1:] if x.ndim else x,
    lambda x: x[..., 1:] if x.ndim else x,
    lambda x: np.concatenate([x, x], axis=-1) if x.ndim else x,
    lambda x: np.concatenate([x, x], axis=0) if x.ndim else x,
    lambda x: x.T,
    lambda x: -x - 1 if x.dtype.kind in "if" else ~x if x.dtype == bool else x,
    lambda x: with_one(x, np.nan) if x.dtype.kind in "fc" else with_one(x, 1),
    lambda x: with_one(x, np.inf) if x.dtype.kind in "fc" else with_one(x, 1),
    lambda x: x * x.dtype.type(100) if x.dtype.kind in "iuf" else x,
    lambda x: with_one(x, np.iinfo(x.dtype).max) if x.dtype.kind in "iu" else x,
    lambda x: with_one(x, np.iinfo(x.dtype).min) if x.dtype.kind in "iu" else x,
    lambda x: x.astype(np.uint64) if x.dtype.kind in "iu" else x,
    lambda x: [x],
    lambda x: {"a": x},
]


def malformed(valid: Any, generator: np.random.Generator) -> Any:
    """A value to put in the place of a valid one."""
    if isinstance(valid, ndarray) and generator.random() < 0.6:
        return OF_ARRAYS[generator.integers(len(OF_ARRAYS))](valid)
    if generator.random() < 0.3:
        if isinstance(valid, list | tuple) and valid:
            items = list(valid)
            place = int(generator.integers(len(items)))
            items[place] = malformed(items[place], generator)
            return type(valid)(items) if type(valid) in (list, tuple) else items
        if isinstance(valid, dict) and valid:
            key = list(valid)[generator.integers(len(valid))]
            return {**valid, key: malformed(valid[key], generator)}
    return ANYWHERE[generator.integers(len(ANYWHERE))]()
