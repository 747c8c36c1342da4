import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from numpy import ndarray

from tests.closeness import assert_close
from tests.ops.every_op import MASKED, OPS, Maker, Op, assert_identical, copies, cotangent_of, entries, every_op, run
from tests.strategies import seeds

few = settings(max_examples=3)


@every_op
@few
@given(seed=seeds)
def test_gradients_have_the_shapes_of_the_inputs(name: str, op: Op, maker: Maker, seed: int) -> None:
    arrays = maker(seed)
    y, backward = op(*arrays)
    gradients = entries(backward(cotangent_of(y, seed)))
    assert [dx.shape for dx in gradients] == [x.shape for x in arrays]
    assert all(isinstance(dx, ndarray) for dx in gradients)
    assert np.isfinite(y).all()
    assert isinstance(y, ndarray if np.ndim(y) else np.float64)


@every_op
@few
@given(seed=seeds)
def test_nothing_that_was_passed_in_or_returned_is_written_to(name: str, op: Op, maker: Maker, seed: int) -> None:
    arrays = maker(seed)
    kept = copies(arrays)
    y, backward = op(*arrays)
    dy = cotangent_of(y, seed)
    kept_outputs = copies([y, dy])
    assert_identical(arrays, kept)
    first = entries(backward(dy))
    kept_gradients = copies(first)
    assert_identical(arrays, kept)
    assert_identical([y, dy], kept_outputs)
    assert_identical(entries(backward(dy)), kept_gradients)
    backward(2 * dy)
    assert_identical(first, kept_gradients)


@every_op
@few
@given(seed=seeds)
def test_interleaved_calls_are_independent(name: str, op: Op, maker: Maker, seed: int) -> None:
    first, second = maker(seed), maker(seed + 1)
    alone = run(op, first, seed), run(op, second, seed + 1)
    y1, backward1 = op(*first)
    y2, backward2 = op(*second)
    gradients1 = backward1(cotangent_of(y1, seed))
    gradients2 = backward2(cotangent_of(y2, seed + 1))
    again1 = backward1(cotangent_of(y1, seed))
    assert_identical([y1, *entries(gradients1)], alone[0])
    assert_identical([y2, *entries(gradients2)], alone[1])
    assert_identical([y1, *entries(again1)], alone[0])


@every_op
def test_two_threads_get_what_one_gets(name: str, op: Op, maker: Maker) -> None:
    inputs = [maker(1), maker(2)]
    alone = [run(op, arrays, 3) for arrays in inputs]
    barrier = threading.Barrier(2)
    results: list[list[list[ndarray]]] = [[], []]

    def work(worker: int) -> None:
        barrier.wait()
        for _ in range(10):
            results[worker].append(run(op, inputs[worker], 3))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker in range(2):
        assert len(results[worker]) == 10
        for result in results[worker]:
            assert_identical(result, alone[worker])


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
def test_backward_is_linear_in_the_cotangent(name: str, op: Op, maker: Maker, seed: int) -> None:
    y, backward = op(*maker(seed))
    a, b = cotangent_of(y, seed), cotangent_of(y, seed + 1)
    for dx, da, db in zip(*(entries(backward(dy)) for dy in (2.5 * a - b, a, b)), strict=True):
        assert np.abs(dx - (2.5 * da - db)).max() <= 1e-13 * max(np.abs(da).max(), np.abs(db).max())


@every_op
def test_a_zero_cotangent_gives_zero_gradients(name: str, op: Op, maker: Maker) -> None:
    y, backward = op(*maker(5))
    assert not any(dx.any() for dx in entries(backward(0 * cotangent_of(y, 5))))


@pytest.mark.usefixtures("unchecked")
@every_op
def test_cotangents_that_do_not_fit_are_errors(name: str, op: Op, maker: Maker) -> None:
    called = {"attention": "scaled_dot_product_attention"}.get(name.split(",")[0], name.split(",")[0])
    dy_name = "dweights" if called == "attention_weights" else "dy"
    y, backward = op(*maker(6))
    if np.ndim(y) == 0:
        with pytest.raises(ValueError, match=r"dloss must be a number, got shape \(1,\)"):
            backward(np.ones(1))
        return
    for dy in (y[:1], y[..., :1], y[None], np.array(1.0)):
        with pytest.raises(
            ValueError, match=rf"^{called}: {dy_name} has shape .*, expected .*, the shape of the output$"
        ):
            backward(dy)
    for dtype in (np.float32, np.complex128, np.int64):
        with pytest.raises(TypeError, match=f"^{called}: {dy_name} is {np.dtype(dtype)}, the output is float64"):
            backward(np.ones(y.shape, dtype))
    with pytest.raises(TypeError, match=f"^{called}: {dy_name} must be an array, got float"):
        backward(1.0)


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
def test_read_only_inputs_and_cotangents_are_accepted(name: str, op: Op, maker: Maker) -> None:
    arrays = maker(7)
    expected = run(op, arrays, 7)
    for array in arrays:
        array.flags.writeable = False
    y, backward = op(*arrays)
    dy = cotangent_of(y, 7)
    if np.ndim(y):
        dy.flags.writeable = False
    assert_identical([y, *entries(backward(dy))], expected)


@every_op
def test_complex_inputs_extend_the_real_function(name: str, op: Op, maker: Maker) -> None:
    arrays = maker(8)
    y, _ = op(*arrays)
    raised, _ = op(*[x.astype(np.complex128) for x in arrays])
    assert raised.dtype == np.complex128
    assert not raised.imag.any()
    assert np.abs(raised.real - y).max() <= 1e-14 * max(np.abs(y).max(), 1)


@pytest.mark.usefixtures("unchecked")
@every_op
def test_integers_where_floats_belong_are_errors(name: str, op: Op, maker: Maker) -> None:
    arrays = maker(9)
    for i in range(len(arrays)):
        sentence = "pass mask.astype" if MASKED.get(name) == i else "must be a floating array, got"
        for dtype in (np.int64, np.uint8) if MASKED.get(name) == i else (np.int64, np.uint8, bool):
            changed = [x.astype(dtype) if i == j else x for j, x in enumerate(arrays)]
            with pytest.raises(TypeError, match=sentence):
                op(*changed)


@pytest.mark.usefixtures("unchecked")
@every_op
def test_mixed_dtypes_are_errors(name: str, op: Op, maker: Maker) -> None:
    arrays = maker(10)
    for i in range(1, len(arrays)):
        if MASKED.get(name) != i:
            changed = [x.astype(np.float32) if i == j else x for j, x in enumerate(arrays)]
            with pytest.raises(TypeError, match=r"is float32, \w+ is float64; expected one dtype"):
                op(*changed)
