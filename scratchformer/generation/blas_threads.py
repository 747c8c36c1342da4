"""Runs the matrix products of a decoding step in one thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

from threadpoolctl import ThreadpoolController

FEW = 4
"""Products with this number of rows or fewer wait for memory most of the time. Several threads of BLAS would spend more
time on waiting for each other, and they wait busily: beside other programs, a token may take twenty times as long."""
_LOCK = Lock()


@contextmanager
def one_blas_thread_for(num_rows: int) -> Iterator[None]:
    """Within its `with` block, BLAS runs in one thread if products have few rows.

    The limit is the process's. Where several threads decode, one of them sets it and takes it back.
    """
    if num_rows > FEW or not _LOCK.acquire(blocking=False):
        yield
        return
    try:
        with _controller().limit(limits=1, user_api="blas"):
            yield
    finally:
        _LOCK.release()


@cache
def _controller() -> ThreadpoolController:
    """Finds the process's BLAS, once: that takes longer than setting a limit."""
    return ThreadpoolController()
