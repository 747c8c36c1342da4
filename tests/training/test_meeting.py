from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.training.meeting import Meeting


@given(visits=st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_each_visit_waits_for_all_who_have_not_left(visits: list[int]) -> None:
    meeting = Meeting(len(visits), tuple)

    def work(worker: int) -> list[Any]:
        with meeting.attended(worker):
            return [meeting.meet(worker, (worker, i)) for i in range(visits[worker])]

    with ThreadPoolExecutor(len(visits)) as pool:
        found = list(pool.map(work, range(len(visits))))
    for worker, outcomes in enumerate(found):
        assert outcomes == [
            tuple((other, i) for other, number in enumerate(visits) if number > i) for i in range(visits[worker])
        ]


def test_what_they_bring_is_in_the_order_of_the_workers() -> None:
    meeting = Meeting(2, tuple)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(meeting.meet, 1, "b")
        while not meeting._brought:
            pass
        assert meeting.meet(0, "a") == ("a", "b")
        assert first.result() == ("a", "b")


def test_who_is_not_first_waits_for_a_further_visit_of_those_who_are() -> None:
    meeting = Meeting(3, tuple, first_of=lambda brought: [w for w, each in brought.items() if each < 2] or brought)

    def work(worker: int) -> list[Any]:
        with meeting.attended(worker):
            return [meeting.meet(worker, each) for each in [(0, 1, 2, 3), (1, 2, 3), (2, 3, 4)][worker]]

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(work, range(3)))
    assert found == [
        [(0, 1), (1,), (2, 2, 2), (3, 3, 3)],
        [(0, 1), (2, 2, 2), (3, 3, 3)],
        [(2, 2, 2), (3, 3, 3), (4,)],
    ]


def test_all_learn_what_went_wrong_when_they_agreed() -> None:
    def refuse(brought: Any) -> None:
        raise ZeroDivisionError(f"{sum(brought)}")

    meeting = Meeting(2, refuse)

    def work(worker: int) -> None:
        with meeting.attended(worker):
            meeting.meet(worker, worker + 1)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(work, worker) for worker in range(2)]:
            with pytest.raises(ZeroDivisionError, match=r"^3$"):
                future.result()


def test_when_it_is_broken_off_those_who_wait_and_those_who_come_later_end() -> None:
    meeting = Meeting(3, tuple)

    def work(worker: int) -> None:
        with meeting.attended(worker):
            meeting.meet(worker, None)

    with ThreadPoolExecutor(1) as pool:
        waits: Future[None] = pool.submit(work, 0)
        while not meeting._brought:
            pass
        meeting.break_off()
        assert not meeting._attending
        for future in (waits, pool.submit(work, 1)):
            with pytest.raises(RuntimeError, match=r"^Meeting: another worker has failed$"):
                future.result()
    meeting.break_off()
