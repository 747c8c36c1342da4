from collections.abc import Callable, Sequence

import numpy as np
import pytest

from scratchformer.text import packed_batch, padded_batch, pair_batch

pytestmark = pytest.mark.usefixtures("unchecked")

GOOD = np.arange(3)
SPECIAL = {"begin_id": 1, "end_id": 2}


@pytest.mark.parametrize(
    ("sequences", "error", "said"),
    [
        ([], ValueError, " must hold at least one sequence, got none"),
        ([GOOD, np.array([], int)], ValueError, r"\[1\] is empty, expected at least one id"),
        ([GOOD, np.ones(2, np.float32)], TypeError, r"\[1\] must be an integer array, got float32"),
        ([[1, 2], GOOD], TypeError, r"\[0\] must be an integer array, got list"),
        ([GOOD[None], GOOD], ValueError, r"\[0\] must have one dimension, got shape \(1, 3\)"),
        ([GOOD, GOOD - 2], ValueError, r"\[1\] holds -2, expected ids of at least 0"),
    ],
)
@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("padded_batch: sequences", padded_batch),
        ("packed_batch: sequences", lambda sequences: packed_batch(sequences, 4)),
        ("pair_batch: sources", lambda sequences: pair_batch(sequences, [GOOD, GOOD], **SPECIAL)),
        ("pair_batch: targets", lambda sequences: pair_batch([GOOD, GOOD], sequences, **SPECIAL)),
    ],
)
def test_what_are_no_sequences_is_said(
    argument: str, call: Callable, sequences: Sequence, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=f"^{argument}{said}$"):
        call(sequences)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("padded_batch: padding_id", lambda value: padded_batch([GOOD], value)),
        ("packed_batch: padding_id", lambda value: packed_batch([GOOD], 4, value)),
        *(
            (f"pair_batch: {name}", lambda value, name=name: pair_batch([GOOD], [GOOD], **SPECIAL | {name: value}))
            for name in ("begin_id", "end_id", "padding_id")
        ),
    ],
)
def test_a_special_id_is_not_negative(argument: str, call: Callable) -> None:
    with pytest.raises(ValueError, match=f"^{argument} must be at least 0, got -100$"):
        call(-100)
