from typing import Any

import numpy as np

from scratchformer.arguments import checked_arguments


def test_numbers_of_numpy_become_pythons_and_do_not_overflow() -> None:
    @checked_arguments
    def found(n: int, share: float | None = None, is_last: bool = False, kept: object = None) -> tuple[Any, ...]:
        return n + 100, share, is_last, kept

    kept = np.float32(1)
    options: dict[str, Any] = {"n": np.int8(100), "share": np.float64(0.5), "is_last": np.bool_(True)}
    result = found(**options, kept=kept)
    assert result == (200, 0.5, True, 1)
    assert [type(number) for number in result[:3]] == [int, float, bool]
    assert result[3] is kept
