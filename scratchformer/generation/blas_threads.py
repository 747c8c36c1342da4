"""Runs the matrix products of a decoding step in one thread, unless they are large."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock

from threadpoolctl import LibController, ThreadpoolController

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
        before = [(library, library.get_num_threads()) for library in _libraries()]
        try:
            for library, _ in before:
                library.set_num_threads(1)
            yield
        finally:
            for library, num_threads in before:
                library.set_num_threads(num_threads)
    finally:
        _LOCK.release()


@cache
def _libraries() -> Sequence[LibController]:
    """The process's BLAS. It is looked for once: that takes longer than setting its threads."""
    return ThreadpoolController().select(user_api="blas").lib_controllers
