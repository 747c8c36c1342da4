"""Errors of other packages as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_sentence(what: str) -> Iterator[None]:
    """Turns what goes wrong inside into a ValueError: `what`, and the first line of the reason.

    The package `tokenizers` raises plain Exceptions, and for what it did not expect a PanicException, which is none.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"{what}: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
