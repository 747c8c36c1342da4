from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pytest
from jaxtyping import Float
from numpy.typing import ArrayLike, DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.known_kinds import MOST_ITEMS, is_decided_by_kind, kind_of, kinds_of


@checked_arguments
def take(
    x: Float[np.ndarray, "t d"],
    others: Sequence[Float[np.ndarray, " d"]] = (),
    n: int | None = None,
    call: Callable[[], Any] | None = None,
) -> type | None:
    return None if n is None else type(n)


X = np.zeros((2, 3))
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"x": X[0]}, ValueError, "x must have shape"),
    ({"x": X.astype(int)}, TypeError, "x must be a floating array"),
    ({"x": X.tolist()}, TypeError, "x must be a floating array"),
    ({"x": X, "others": [X[0], None]}, TypeError, r"others\[1\] must be"),
    ({"x": X, "others": [X[0]] * 2 * MOST_ITEMS + [None]}, TypeError, rf"others\[{2 * MOST_ITEMS}\] must be"),
    ({"x": X, "n": True}, TypeError, "n must be"),
    ({"x": X, "n": 2**64}, TypeError, "n must be"),
    ({"x": X, "n": 1.0}, TypeError, "n must be"),
    ({"x": X, "call": 1}, TypeError, "call must be"),
]


@pytest.mark.parametrize(("arguments", "error", "said"), WRONG)
def test_what_is_wrong_is_refused_after_right_calls_too(
    arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    for _ in range(3):
        take(X, [X[0], X[1]], 1, list)
        take(X, others=[X[0]] * 2 * MOST_ITEMS, n=2**63)
        with pytest.raises(error, match=said):
            take(**arguments)


def test_numbers_of_numpy_become_pythons_after_other_numbers_too() -> None:
    numbers: list[Any] = [1, np.int8(1), 2, np.int8(2)]
    for n in numbers:
        assert take(X, n=n) is int


def test_names_of_arguments_are_part_of_what_is_known() -> None:
    @checked_arguments
    def between(least: float = 0.0, name: str | None = None) -> None: ...

    between(least=1.0)
    with pytest.raises(TypeError, match="name must be text"):
        between(name=1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("hint", [Mapping[str, int], Literal["a"], ArrayLike, DTypeLike, set[int], type[int]])
def test_what_a_value_holds_is_looked_at_in_every_call(hint: Any) -> None:
    assert not is_decided_by_kind(hint)
    assert not is_decided_by_kind(hint | None if hint is not Literal["a"] else hint)
    assert not is_decided_by_kind(Sequence[hint])


def test_kinds_tell_apart_what_checks_tell_apart() -> None:
    others = [X, X[0], X.astype(np.float32), X.astype(">f8"), [X], (X,), [X, X], None, 1, 1.0, True, "a", list, len]
    kinds = [kind_of(value) for value in others]
    assert None not in kinds
    assert len(set(map(repr, kinds))) == len(others)
    for value in (np.float64(1), 2**63, range(3), [np.int8(1)], [1] * (MOST_ITEMS + 1)):
        assert kind_of(value) is None
        assert kinds_of((1, value), {}) is None
