"""Runs the matrix products of a decoding step in one thread, unless they are large."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

from threadpoolctl import ThreadpoolController

FEW = 4
"""Products with this number of rows or fewer wait for memory most of the time. Several threads of BLAS would spend more
time on waiting for each other, and they wait busily: beside other programs, a token may take twenty times as long."""
SMALL = 2**32
"""Multiplications in a forward pass, rows times parameters, up to which two threads gain less than they lose beside
other programs. On two cores of an AMD EPYC, a pass of 0.7e9 took 22 ms in one thread and 19 ms in two; beside two busy
processes 79 ms and 388 ms."""
_LOCK = Lock()


@contextmanager
def one_blas_thread_for(num_rows: int, num_parameters: float = math.inf) -> Iterator[None]:
    """Within its `with` block, BLAS runs in one thread if products have few rows, or are small.

    The choice depends on sizes alone, since the number of threads may change the last digits.
    The limit is the process's. Where several threads decode, one of them sets it and takes it back.
    """
    is_large = num_rows > FEW and num_rows * num_parameters > SMALL
    if is_large or not _LOCK.acquire(blocking=False):
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
