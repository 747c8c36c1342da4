from threading import get_ident
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from scratchformer.training import (
    Trainer,
    are_better_forked,
    are_better_sharing,
    restore,
    sharing,
    training_checkpoint,
    workers_and_blas_threads,
)
from tests.closeness import assert_close
from tests.training.setting import ragged_batches, tiny_gpt, tiny_trainer


def sharing_trainer(blas_threads: int, *, seed: int = 0) -> Trainer:
    trainer = tiny_trainer(tiny_gpt(seed=seed, d_model=64), max_norm=0.5)
    trainer.share_products(blas_threads)
    return trainer


def trained(blas_threads: int) -> np.ndarray:
    with sharing_trainer(blas_threads) as trainer:
        for i in range(3):
            trainer.step(ragged_batches(i, 2))
    return trainer.model.values


def test_blas_threads_change_the_values_by_rounding_alone_and_repeat_bit_for_bit() -> None:
    np.testing.assert_array_equal(trained(2), trained(2))
    assert_close(trained(2), trained(1), 1e-8)  # Adam divides by the root of small squares


def test_blas_has_its_threads_within_the_with_block() -> None:
    def blas_threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = blas_threads()
    with sharing_trainer(2):
        assert set(blas_threads()) == {2}
    assert blas_threads() == before


def test_a_worker_alone_works_in_the_thread_that_calls_it() -> None:
    threads = set()
    with sharing_trainer(2) as trainer:
        loss = trainer.loss

        def noted(*arguments: Any) -> Any:
            threads.add(get_ident())
            return loss(*arguments)

        trainer.loss = noted
        trainer.step(ragged_batches(0, 2))
    assert threads == {get_ident()}


def test_a_run_is_resumed_with_the_blas_threads_that_it_had() -> None:
    stored, same, other = sharing_trainer(2), sharing_trainer(2, seed=1), sharing_trainer(1)
    checkpoint = training_checkpoint(stored)
    restore(same, checkpoint)
    np.testing.assert_array_equal(same.model.values, stored.model.values)
    with pytest.raises(ValueError, match=r"^restore: training\.blas_threads is 1 now and was 2 then"):
        restore(other, checkpoint)


def test_workers_take_whole_sequences_and_blas_the_other_threads() -> None:
    assert workers_and_blas_threads(2, 8) == (2, 1)
    assert workers_and_blas_threads(2, 1) == (1, 2)
    assert workers_and_blas_threads(8, 3) == (3, 2)


def test_workers_of_models_with_many_weights_beside_tokens_share_a_gradient() -> None:
    assert are_better_sharing(124_000_000, 2 * 512)
    assert not are_better_sharing(11_000_000, 8 * 256)
    assert are_better_sharing(2**22 + 2**15, 129)
    assert not are_better_sharing(2**22 + 2**15 - 1, 129)
    assert not are_better_sharing(2**22, 1)


def test_the_workers_of_a_small_model_are_forked_where_that_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for can_fork in (True, False):
        monkeypatch.setattr(sharing, "CAN_FORK", can_fork)
        assert are_better_forked(2**22) == can_fork
        assert not are_better_forked(2**22 + 1)


def test_numbers_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^Trainer: blas_threads must be at least 1, got 0"):
        sharing_trainer(0)
    with pytest.raises(ValueError, match=r"^workers_and_blas_threads: num_sequences must be at least 1, got 0"):
        workers_and_blas_threads(2, 0)
    with pytest.raises(ValueError, match=r"^are_better_sharing: num_tokens must be at least 1, got 0"):
        are_better_sharing(1, 0)
    with pytest.raises(ValueError, match=r"^are_better_forked: num_parameters must be at least 1, got 0"):
        are_better_forked(0)
