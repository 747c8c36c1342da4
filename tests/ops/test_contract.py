"""What every op promises beside what the checker asks of it: `tests/test_catalogue.py` runs that on every op."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from numpy import ndarray

from tests.closeness import assert_close
from tests.ops.every_op import OPS, Maker, Op, assert_identical, cotangent_of, entries, every_op, run
from tests.strategies import seeds

few = settings(max_examples=3)


@every_op
def test_what_backward_keeps_of_the_output_is_read_only(name: str, op: Op, maker: Maker) -> None:
    arrays = maker(4)
    expected = run(op, arrays, 4)[1:]
    y, backward = op(*arrays)
    dy = cotangent_of(y, 4)
    kept_whole = {"softmax", "layer_norm, plain", "rms_norm, plain", "dropout, off", "tanh"} | {
        name for name, _, _ in OPS if name.startswith("attention_weights")
    }
    if np.ndim(y):
        assert y.flags.writeable == (name not in kept_whole)
        if y.flags.writeable:
            y[...] = np.nan
    assert_identical(entries(backward(dy)), expected)
    assert_identical(arrays, maker(4))


@every_op
@few
@given(seed=seeds)
def test_float32_is_kept_and_as_right_as_it_can_be(name: str, op: Op, maker: Maker, seed: int) -> None:
    arrays = [x.astype(np.float32) for x in maker(seed)]
    results = run(op, arrays, seed)
    assert [result.dtype for result in results] == [np.float32] * (1 + len(arrays))
    y, _ = op(*arrays)
    assert isinstance(y, ndarray if np.ndim(y) else np.float32)
    dy = np.float64(cotangent_of(y, seed))
    wide_y, wide_backward = op(*[x.astype(np.float64) for x in arrays])
    wide = [np.asarray(wide_y), *entries(wide_backward(dy))]
    assert [result.dtype for result in wide] == [np.float64] * (1 + len(arrays))
    for result, expected in zip(results, wide, strict=True):
        assert_close(result, expected, 1e-5)


def layouts(arrays: list[ndarray]) -> Iterator[list[ndarray]]:
    yield [np.asfortranarray(x) for x in arrays]
    yield [np.repeat(x, 2, axis=-1)[..., ::2] for x in arrays]
    yield [np.flip(np.flip(x).copy()) for x in arrays]


@every_op
@few
@given(seed=seeds)
def test_any_memory_layout_gives_equal_results(name: str, op: Op, maker: Maker, seed: int) -> None:
    arrays = maker(seed)
    expected = run(op, arrays, seed)
    for laid_out in layouts(arrays):
        y, backward = op(*laid_out)
        for dy in layouts([cotangent_of(y, seed)]) if np.ndim(y) else [[cotangent_of(y, seed)]]:
            for result, contiguous in zip([y, *entries(backward(*dy))], expected, strict=True):
                assert np.abs(result - contiguous).max() <= 1e-13 * max(np.abs(contiguous).max(), 1)


@every_op
def test_complex_inputs_extend_the_real_function(name: str, op: Op, maker: Maker) -> None:
    arrays = maker(8)
    y, _ = op(*arrays)
    raised, _ = op(*[x.astype(np.complex128) for x in arrays])
    assert raised.dtype == np.complex128
    assert not raised.imag.any()
    assert np.abs(raised.real - y).max() <= 1e-14 * max(np.abs(y).max(), 1)
