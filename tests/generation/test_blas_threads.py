"""While few rows are multiplied, BLAS has one thread; afterwards it has as many as before."""

from threading import Thread

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from scratchformer.generation import generate, greedy
from scratchformer.generation.blas_threads import FEW, SMALL, one_blas_thread_for


def num_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def _two_threads():
    with threadpool_limits(2, user_api="blas"):
        if num_threads() != {2}:
            pytest.skip("this computer's BLAS has no two threads")
        yield


@pytest.mark.usefixtures("_two_threads")
def test_one_thread_multiplies_few_rows_alone():
    seen = []

    def model(ids):
        seen.append((ids.shape[-1], num_threads()))
        return np.zeros((*ids.shape, 3)), None

    prompt = np.zeros(FEW - 1, int)
    list(generate(model, prompt, 3, context_length=9, choose=greedy, use_cache=False))
    assert seen == [(FEW - 1, {1}), (FEW, {1}), (FEW + 1, {2})]
    assert num_threads() == {2}


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize(("num_parameters", "expected"), [(SMALL // 8, 1), (SMALL // 8 + 1, 2)])
def test_one_thread_does_small_products_of_many_rows(num_parameters, expected):
    class Model:
        values = np.broadcast_to(np.float32(0), num_parameters)

        def forward(self, ids):
            seen.append(num_threads())
            return np.zeros((*ids.shape, 3)), None

        __call__ = forward

    for model in (Model(), Model().forward):
        seen: list[set[int]] = []
        list(generate(model, np.zeros(8, int), 1, context_length=8, choose=greedy, use_cache=False))
        assert seen == [{expected}]


@pytest.mark.usefixtures("_two_threads")
def test_a_thread_that_decodes_beside_another_leaves_the_limit_alone():
    seen = []

    def decode() -> None:
        with one_blas_thread_for(1):
            seen.append(num_threads())

    with one_blas_thread_for(1):
        other = Thread(target=decode)
        other.start()
        other.join()
        seen.append(num_threads())
    assert seen == [{1}, {1}]
    assert num_threads() == {2}


@pytest.mark.usefixtures("_two_threads")
def test_an_error_inside_takes_the_limit_back():
    with pytest.raises(KeyError), one_blas_thread_for(1):
        raise KeyError
    assert num_threads() == {2}
