"""Where the threads of one step wait for each other."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Lock
from typing import Any


class Meeting:
    """A place where workers meet again and again: each waits there until all who are still at work have come.

    What they bring is passed, in the order of the workers, to `agree`, which one of them calls while the others wait.
    A worker that has ended or failed has left, and keeps no one waiting.

    Args:
        num_workers: how many there are; they are numbered from 0.
        agree: makes an outcome for all of them of what they bring.
        first_of: of what each worker has brought, tells whose turn it is. The others wait for a further visit of those.
    """

    def __init__(
        self,
        num_workers: int,
        agree: Callable[[Sequence[Any]], Any],
        first_of: Callable[[Mapping[int, Any]], Collection[int]] = tuple,
    ) -> None:
        self._agree = agree
        self._first_of = first_of
        self._lock = Lock()
        self._expected = set(range(num_workers))
        self._brought: dict[int, Any] = {}
        self._outcomes: list[SimpleQueue[tuple[Any, BaseException | None]]] = [
            SimpleQueue() for _ in range(num_workers)
        ]
        self._attending: set[int] = set()
        self._last_has_left: SimpleQueue[None] | None = None

    @contextmanager
    def attended(self, worker: int) -> Iterator[None]:
        """Within its `with` block the worker is at work; then it has left, whatever happened."""
        with self._lock:
            self._check_goes_on()
            self._attending.add(worker)
        try:
            yield
        finally:
            with self._lock:
                self._attending.discard(worker)
                self._expected.discard(worker)
                if self._last_has_left is None:
                    self._hold_if_all_are_there()
                elif not self._attending:
                    self._last_has_left.put(None)

    def meet(self, worker: int, brought: Any) -> Any:
        """Waits for all others, and returns the outcome. Raises what `agree` raises, or RuntimeError if broken off."""
        with self._lock:
            self._check_goes_on()
            self._brought[worker] = brought
            self._hold_if_all_are_there()
        outcome, error = self._outcomes[worker].get()
        if error is not None:
            raise error
        return outcome

    def break_off(self) -> None:
        """Ends the work of all others at their next visit, and waits for that. Those who have not begun never will.

        If this is interrupted, call it again.
        """
        with self._lock:
            self._last_has_left = SimpleQueue()
            self._tell(self._brought, None, RuntimeError("Meeting: another worker has failed"))
            if not self._attending:
                return
        self._last_has_left.get()

    def _check_goes_on(self) -> None:
        if self._last_has_left is not None:
            raise RuntimeError("Meeting: another worker has failed")

    def _hold_if_all_are_there(self) -> None:
        if not self._brought or self._brought.keys() != self._expected:
            return
        workers = sorted(self._first_of(self._brought))
        try:
            outcome = self._agree([self._brought[worker] for worker in workers])
        except BaseException as error:
            self._tell(workers, None, error)
        else:
            self._tell(workers, outcome, None)

    def _tell(self, workers: Iterable[int], outcome: Any, error: BaseException | None) -> None:
        for worker in list(workers):
            self._outcomes[worker].put((outcome, error))
            del self._brought[worker]  # not before: should this be interrupted, it is told again
