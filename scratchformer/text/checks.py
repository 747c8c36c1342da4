"""What functions ask of token ids and sizes. `function` and `argument` are names for the message."""

from collections.abc import Sequence

from jaxtyping import Integer
from numpy import ndarray

from scratchformer.misfits import ACCEPTED, misfit_of_array


def check_integers(function: str, argument: str, ids: ndarray) -> None:
    """Raises TypeError unless `ids` is a plain array of integers."""
    if misfit := misfit_of_array(ids, *ACCEPTED[Integer]):
        raise TypeError(f"{function}: {argument} must be {misfit.expected}, got {misfit.got}")


def check_ids(function: str, argument: str, ids: ndarray) -> None:
    """Raises TypeError unless `ids` is an integer array, and ValueError unless it is a vector without negative ids."""
    check_integers(function, argument, ids)
    if ids.ndim != 1:
        raise ValueError(f"{function}: {argument} must have one dimension, got shape {ids.shape}")
    if ids.size and ids.min() < 0:
        raise ValueError(f"{function}: {argument} holds {ids.min()}, expected ids of at least 0")


def check_sequences(function: str, argument: str, sequences: Sequence[ndarray]) -> None:
    """Raises TypeError or ValueError unless there is a sequence, and each is a vector of at least one id."""
    if len(sequences) == 0:
        raise ValueError(f"{function}: {argument} must hold at least one sequence, got none")
    for i, sequence in enumerate(sequences):
        if isinstance(sequence, ndarray) and sequence.size == 0:
            raise ValueError(f"{function}: {argument}[{i}] is empty, expected at least one id")
        check_ids(function, f"{argument}[{i}]", sequence)


def check_not_negative(function: str, **numbers: int) -> None:
    """Raises ValueError for a negative id, index or seed."""
    for argument, value in numbers.items():
        if value < 0:
            raise ValueError(f"{function}: {argument} must be at least 0, got {value}")


def check_sizes(function: str, **sizes: int | None) -> None:
    """Raises ValueError for a size below 1; None stands for a size that was not given."""
    for argument, size in sizes.items():
        if size is not None and size < 1:
            raise ValueError(f"{function}: {argument} must be at least 1, got {size}")


def check_fits(function: str, ids: ndarray, context_length: int) -> None:
    """Raises ValueError unless the text `ids` is longer than a context: its last window needs a next token."""
    if len(ids) <= context_length:
        raise ValueError(f"{function}: ids has {len(ids)} tokens, a context of {context_length} needs more")
