import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.pretrained import StoredTensor
from scratchformer.pretrained.tensors import WIDEN, block_of
from tests.pretrained.files import blocks
from tests.strategies import seeds

PLAIN = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


def stored(kind: str, shape: tuple[int, ...], seed: int = 0) -> StoredTensor:
    size = int(np.prod(shape))
    if kind in ("Q4_0", "Q4_1", "Q8_0"):
        raw = np.frombuffer(blocks(kind, seed, size // 32), np.uint8)
    else:
        words = np.random.default_rng(seed).normal(size=size)
        raw = words.astype(PLAIN[kind]).view(np.uint8) if kind in PLAIN else upper_halves(words)
    raw.flags.writeable = False
    return StoredTensor("weight", shape, kind, raw, Path("file"))


def upper_halves(values: ndarray) -> ndarray:
    return np.ascontiguousarray(values.astype("<f4").view("<u2")[1::2]).view(np.uint8)


def widened_at_once(tensor: StoredTensor) -> ndarray:
    rows = tensor.raw.reshape(int(np.prod(tensor.shape[:-1])), -1)
    return WIDEN[tensor.kind](rows).reshape(tensor.shape)


def layouts(shape: tuple[int, ...], dtype: type) -> dict[str, ndarray]:
    """Arrays of a shape that lie differently in memory, filled with NaN."""
    turned = np.full(shape[::-1], np.nan, dtype).T
    spread = np.full([2 * size for size in shape], np.nan, dtype)[tuple(slice(None, None, 2) for _ in shape)]
    packed = np.full(int(np.prod(shape)) + 5, np.nan, dtype)[3:-2].reshape(shape)
    return {"in order": np.full(shape, np.nan, dtype), "turned": turned, "spread": spread, "packed": packed}


@pytest.mark.parametrize("kind", list(WIDEN))
@given(seed=seeds, shape=st.lists(st.integers(1, 4), max_size=2), columns=st.integers(1, 3))
def test_a_tensor_is_read_into_arrays_of_every_layout(kind: str, seed: int, shape: list[int], columns: int) -> None:
    tensor = stored(kind, (*shape, 32 * columns), seed)
    expected = widened_at_once(tensor)
    for dtype in (np.float32, np.float64):
        for layout, out in layouts(tensor.shape, dtype).items():
            tensor.read_into(out)
            np.testing.assert_array_equal(out, expected.astype(dtype), err_msg=layout)
        np.testing.assert_array_equal(tensor.read(dtype), expected.astype(dtype))


@pytest.mark.parametrize(("kind", "shape"), [("Q4_1", (3, 2**18 + 32)), ("BF16", (130, 2080)), ("F16", (2**18 + 1,))])
def test_a_tensor_of_many_tiles_is_read_as_one(kind: str, shape: tuple[int, ...]) -> None:
    tensor = stored(kind, shape)
    for out in layouts(shape, np.float32).values():
        tensor.read_into(out)
        np.testing.assert_array_equal(out, widened_at_once(tensor))


def test_one_number_and_no_numbers_are_read() -> None:
    out = np.zeros(())
    number = StoredTensor("a", (), "F32", np.array([2.5], "<f4").view(np.uint8), Path("file"))
    number.read_into(out)
    assert out == 2.5
    assert StoredTensor("a", (2**40, 0), "BF16", np.zeros(0, np.uint8), Path("file")).read().shape == (2**40, 0)


@pytest.mark.parametrize("shape", [(7, 64), (7,), (96,), (3, 2, 32)])
@given(start=st.integers(0, 8), stop=st.integers(-2, 8))
def test_rows_are_those_of_the_whole(shape: tuple[int, ...], start: int, stop: int) -> None:
    tensor = stored("Q8_0" if shape[-1] % 32 == 0 else "F32", shape)
    scale = 32 if shape == (96,) else 1
    rows = slice(scale * start, scale * stop)
    expected = tensor.read()[rows]
    out = np.zeros(expected.shape, np.float32)
    tensor.read_into(out, rows)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("kind", ["Q4_1", "BF16", "F64"])
@pytest.mark.parametrize("turned", [False, True])
def test_reading_takes_little_memory_besides(kind: str, turned: bool) -> None:
    tensor = stored(kind, (2048, 4096))
    out = np.zeros((4096, 2048), np.float32).T if turned else np.zeros((2048, 4096), np.float32)
    tracemalloc.start()
    try:
        tensor.read_into(out)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_bits_that_are_no_numbers_give_no_warning() -> None:
    for kind in WIDEN:
        raw = np.full(64 * block_of(kind).num_bytes, 0xFF, np.uint8)
        raw[1::2] = 0x7D  # NaN that signal, in every width
        out = np.zeros(64 * block_of(kind).num_values)
        StoredTensor("a", out.shape, kind, raw, Path("file")).read_into(out)
    huge = StoredTensor("a", (1,), "F64", np.array([1e300]).view(np.uint8), Path("file"))
    assert huge.read(np.float32) == np.inf


@pytest.mark.parametrize(
    ("out", "rows", "message"),
    [
        (
            np.zeros((2, 64)),
            slice(None),
            r"StoredTensor\.read_into: out has shape \(2, 64\), expected \(3, 64\) for 'weight'",
        ),
        (
            np.zeros((3, 64)),
            slice(1),
            r"StoredTensor\.read_into: out has shape \(3, 64\), expected \(1, 64\) for 'weight'",
        ),
        (
            np.zeros((2, 64)),
            slice(0, 3, 2),
            r"StoredTensor\.read_into: rows has the step 2, expected rows that follow each other",
        ),
        (np.zeros((3, 64), int), slice(None), r"StoredTensor\.read_into: dtype is int64, expected float32 or float64"),
        (
            np.broadcast_to(0.0, (3, 64)),
            slice(None),
            r"StoredTensor\.read_into: out is read-only, expected an array to write",
        ),
    ],
)
def test_an_array_that_does_not_fit_is_refused(out: ndarray, rows: slice, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stored("Q8_0", (3, 64)).read_into(out, rows)


def test_what_has_no_such_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="rows are 0 to 16 of 'weight', expected multiples of 32"):
        stored("Q8_0", (64,)).read_into(np.zeros(16), slice(16))
    with pytest.raises(ValueError, match="'a' is one number and has no rows"):
        StoredTensor("a", (), "F32", np.zeros(4, np.uint8), Path("file")).read_into(np.zeros(()), slice(1))


def test_a_kind_that_cannot_be_read_is_named() -> None:
    tensor = StoredTensor("ids", (3,), "I64", np.zeros(24, np.uint8), Path("file"))
    assert not tensor.is_readable
    with pytest.raises(
        ValueError, match=r"StoredTensor\.read: the tensor 'ids' of file is stored as I64, which cannot be read"
    ):
        tensor.read()
    with pytest.raises(ValueError, match=r"StoredTensor\.read: dtype is complex64, expected float32 or float64"):
        stored("F32", (3,)).read(np.complex64)
