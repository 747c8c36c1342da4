import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.models import GPT
from scratchformer.optim import WeightAverage
from scratchformer.text.batches import TokenBatch
from scratchformer.training import Divergence, Trainer
from scratchformer.training.forked_workers import CAN_FORK, ForkedWorkers, shared_vector
from scratchformer.training.world import World
from tests.strategies import seeds
from tests.training.setting import ragged_batch, ragged_batches, tiny_gpt, tiny_trainer

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="needs a system that can fork processes")


def forked_trainer(model: GPT, **options: object) -> Trainer:
    trainer = tiny_trainer(model, **options)
    trainer.fork_workers()
    return trainer


@given(
    num_workers=st.integers(1, 4),
    shards_of_each=st.sampled_from([1, 2, 4]),
    joins_first=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=seeds,
)
@settings(max_examples=12)
def test_forked_workers_train_to_the_bits_of_threads(
    num_workers: int, shards_of_each: int, joins_first: bool, dtype: type, seed: int
) -> None:
    def trained(are_forked: bool) -> tuple[list, np.ndarray]:
        trainer = tiny_trainer(tiny_gpt(seed=seed, dropout=0.2, dtype=dtype), num_workers=num_workers, max_norm=0.5)
        steps: list[Callable[[], None]] = [lambda: trainer.join(World(), num_workers * shards_of_each)]
        steps.insert(int(joins_first), trainer.fork_workers if are_forked else lambda: None)
        for step in steps:
            step()
        metrics = []
        for i in range(2):  # forked anew in each block
            with trainer:
                metrics += [trainer.step(ragged_batches(seed + i, 2)) for _ in range(2)]
        trainer.gradient(ragged_batches(seed, 1))  # outside of it there are none
        return metrics, np.concatenate([trainer.model.values, trainer.model.grads])

    (metrics, values), (expected_metrics, expected) = trained(are_forked=True), trained(are_forked=False)
    assert metrics == expected_metrics
    np.testing.assert_array_equal(values, expected)


def test_forked_workers_are_processes_that_end_with_the_block() -> None:
    def where(worker: int) -> int:
        return os.getpid()

    with ForkedWorkers(where, 3) as workers:
        own, *others = workers.map(range(3))
        assert own == os.getpid()
        assert len({own, *others}) == 3
        assert workers.map(range(3)) == [own, *others]
    for pid in others:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_forked_workers_end_when_their_process_is_killed() -> None:
    program = (
        "import os, time; from scratchformer.training.forked_workers import ForkedWorkers\n"
        "workers, more = (ForkedWorkers(lambda worker: os.getpid(), 3) for _ in range(2))\n"
        "print(*workers.map(range(3)), *more.map(range(3))[1:], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        _, *forked = map(int, process.stdout.readline().split())
        process.kill()
    deadline = time.monotonic() + 20
    while any(is_running(pid) for pid in forked):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        os.kill(pid, 0)
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_forked_workers_work_in_shared_memory_and_leave_signals_to_their_process() -> None:
    vector = shared_vector(np.zeros(3, np.float32))

    def work(worker: int, factor: float) -> int:
        vector[worker] = worker * factor
        return os.getpid()

    with ForkedWorkers(work, 3) as workers:
        _, *pids = workers.map(range(3), [2.0] * 3)
        for pid in pids:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(pid, number)
        assert workers.map(range(3), [5.0] * 3)[1:] == pids
    assert vector.tolist() == [0, 5, 10]


def test_the_state_of_an_optimizer_keeps_its_shapes() -> None:
    trainer = tiny_trainer(tiny_gpt(), num_workers=2)
    trainer.optimizer.state["matrix"] = np.arange(6.0).reshape(2, 3)
    trainer.fork_workers()
    np.testing.assert_array_equal(trainer.optimizer.state["matrix"], [[0, 1, 2], [3, 4, 5]])


class Unpicklable(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__("no")


def test_an_error_of_a_forked_worker_is_raised_and_says_where_it_arose() -> None:
    def work(worker: int, kind: str) -> int:
        if worker == 1:
            raise {"value": ValueError("what is wrong"), "unpicklable": Unpicklable(1, 2)}.get(kind, SystemExit)
        return 7

    with ForkedWorkers(work, 3) as workers:
        with pytest.raises(ValueError, match=r"^what is wrong") as caught:
            workers.map(range(3), ["value"] * 3)
        (note,) = caught.value.__notes__
        assert note.startswith("in worker 1:\nTraceback")
        assert ", in work\n" in note
        with pytest.raises(RuntimeError, match=r"^Trainer: worker 1 failed: Unpicklable: no"):
            workers.map(range(3), ["unpicklable"] * 3)
        with pytest.raises(RuntimeError, match=r"^Trainer: worker 1 failed: SystemExit: "):
            workers.map(range(3), [""] * 3)


def test_a_call_that_was_interrupted_leaves_no_answer_to_the_next() -> None:
    def work(worker: int, number: int) -> int:
        if worker == 0 and number == 1:
            raise KeyboardInterrupt
        return 10 * worker + number

    with ForkedWorkers(work, 3) as workers:
        with pytest.raises(KeyboardInterrupt):
            workers.map(range(3), [1] * 3)
        assert workers.map(range(3), [2] * 3) == [2, 12, 22]


def test_long_answers_that_nobody_read_do_not_stand_in_the_way_of_long_arguments() -> None:
    def work(worker: int, array: np.ndarray, number: int) -> float:
        if number == 1:
            raise ValueError("x" * 10**6)
        return float(array.sum())

    with ForkedWorkers(work, 2) as workers:
        arrays = [np.ones(10**6)] * 2
        with pytest.raises(ValueError, match=r"^x+"):
            workers.map(range(2), arrays, [1] * 2)
        assert workers.map(range(2), arrays, [2] * 2) == [10**6] * 2


class Unreadable:
    def __reduce__(self) -> tuple:
        return (int, ("no number",))


def test_arguments_that_a_worker_cannot_read_are_named() -> None:
    with ForkedWorkers(lambda worker, _: worker, 2) as workers:
        with pytest.raises(ValueError, match=r"^invalid literal for int\(\) with base 10: 'no number'"):
            workers.map(range(2), [0, Unreadable()])
        assert workers.map(range(2), [0, 0]) == [0, 1]


def test_a_worker_to_which_a_message_was_interrupted_is_lost_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(message: bytes) -> None:
        raise KeyboardInterrupt

    with ForkedWorkers(lambda worker: worker, 2) as workers:
        monkeypatch.setattr(workers._forked[0].connection, "send_bytes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            workers.map(range(2))
        with pytest.raises(ChildProcessError, match=r"process \d+, was ended, because a message was interrupted$"):
            workers.map(range(2))


def test_the_block_ends_where_ended_processes_are_not_waited_for() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with ForkedWorkers(lambda worker: worker, 3) as workers:
            assert workers.map(range(3)) == [0, 1, 2]
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_process_that_the_program_forks_leaves_the_workers_alone() -> None:
    with ForkedWorkers(lambda worker: worker, 3) as workers:
        pid = os.fork()
        if pid == 0:
            workers.__exit__()
            os._exit(0)
        os.waitpid(pid, 0)
        assert workers.map(range(3)) == [0, 1, 2]


def test_workers_are_not_changed_while_they_are_at_work() -> None:
    with forked_trainer(tiny_gpt(), num_workers=2) as trainer:
        with pytest.raises(RuntimeError, match=r"^Trainer: fork_workers must be called before the with block"):
            trainer.fork_workers()
        with pytest.raises(RuntimeError, match=r"^Trainer: join must be called before the with block"):
            trainer.join(World(), 4)


def test_a_forked_worker_that_was_killed_or_has_left_is_named() -> None:
    def work(worker: int, how: str) -> int:
        if worker == 2:
            os._exit(3) if how == "leave" else os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    for how, end in ("kill", "was killed by SIGKILL"), ("leave", "has ended"):
        with ForkedWorkers(work, 3) as workers:
            for _ in range(2):  # the second time it is known to be gone
                with pytest.raises(ChildProcessError, match=rf"^Trainer: worker 2, process \d+, {end}$"):
                    workers.map(range(3), [how] * 3)


def test_a_forked_worker_whose_shard_diverges_is_explained_as_a_thread_is() -> None:
    def message(are_forked: bool) -> str:
        model = tiny_gpt(seed=1)
        model.values[3] = np.inf
        trainer = tiny_trainer(model, num_workers=2)
        if are_forked:
            trainer.fork_workers()
        with trainer, pytest.raises(Divergence) as caught:
            trainer.step(ragged_batches(0, 2))
        return str(caught.value)

    assert message(are_forked=True) == message(are_forked=False)


def test_a_system_without_forks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratchformer.training.trainer.CAN_FORK", False)
    with pytest.raises(ValueError, match=r"^Trainer: fork_workers needs a system that can fork processes, got one"):
        forked_trainer(tiny_gpt(), num_workers=2)


def test_later_changes_of_the_parameters_are_seen() -> None:
    with forked_trainer(tiny_gpt(seed=1), num_workers=2) as trainer:
        assert_new_values_are_seen(trainer, ragged_batches(3, 1), seed=2)


def assert_new_values_are_seen(trainer: Trainer, batches: list[TokenBatch], seed: int) -> None:
    """Gives the model other values; its loss and gradient must then be those of a model with them."""
    other = tiny_gpt(seed=seed)
    trainer.model.values[...] = other.values
    found = trainer.gradient(batches)
    expected, backward = other.loss(batches[0].ids, batches[0].targets)
    backward()
    assert found == pytest.approx(expected)
    np.testing.assert_allclose(trainer.model.grads, other.grads, atol=1e-12)


@pytest.mark.parametrize("are_forked", [False, True])
def test_workers_see_a_model_whose_parameters_have_moved(are_forked: bool) -> None:
    model, batches = tiny_gpt(), [ragged_batch(8, 6, np.random.default_rng(3))]
    trainer = tiny_trainer(model, num_workers=2)
    trainer.join(World(), 4)
    if are_forked:
        trainer.fork_workers()

    for move in (model.pack, lambda: forked_trainer(model, num_workers=2)):
        move()
        assert_new_values_are_seen(trainer, batches, seed=1)
        with trainer:
            assert_new_values_are_seen(trainer, batches, seed=2)
            move()
            assert_new_values_are_seen(trainer, batches, seed=3)


def test_the_vectors_of_a_trainer_with_forked_workers_are_in_memory_that_processes_share() -> None:
    model = tiny_gpt()
    start = model.values.copy()
    trainer = forked_trainer(model, num_workers=2, average=WeightAverage(model, 0.5))
    assert trainer.average is not None
    np.testing.assert_array_equal([model.values, trainer.average.values], [start, start])
    vectors = [model.values, model.grads, *trainer.optimizer.state.values(), trainer.average.values]
    assert len(vectors) == 5
    pid = os.fork()
    if pid == 0:
        for number, vector in enumerate(vectors):
            vector[...] = number
        os._exit(0)
    os.waitpid(pid, 0)
    assert [set(vector) for vector in vectors] == [{number} for number in range(5)]
    assert all((parameter.value == 0).all() for parameter in model.parameters().values())
