import re
from collections.abc import Callable

import numpy as np
import pytest

from scratchformer.ops import attention_weights, scaled_dot_product_attention
from tests.strategies import normal

pytestmark = pytest.mark.usefixtures("unchecked")

query, key, value = normal(1, (2, 3, 4), (2, 5, 4), (2, 5, 6))


def weights_of(query: np.ndarray, key: np.ndarray, value: np.ndarray, mask: np.ndarray | None = None) -> tuple:
    return attention_weights(query, key, mask)


both = pytest.mark.parametrize(
    ("op", "name"),
    [(weights_of, "attention_weights"), (scaled_dot_product_attention, "scaled_dot_product_attention")],
    ids=["weights", "attention"],
)


@both
@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_integer_masks_say_what_to_pass(op: Callable, name: str, dtype: type) -> None:
    sentence = (
        f"{name}: mask must be boolean or floating, got {np.dtype(dtype)}; for zeros and ones pass mask.astype(bool)"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        op(query, key, value, np.tri(3, 5, dtype=dtype))


@both
def test_masks_of_float16_are_refused(op: Callable, name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}: mask must be float32 or wider, as the sums of its gradient"):
        op(query, key, value, np.zeros((3, 5), np.float16))


@both
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_masks_of_zeros_and_ones_say_what_to_pass(op: Callable, name: str, dtype: type) -> None:
    sentence = (
        f"{name}: mask is floating and holds only zeros and ones, which would be added to the scores; "
        "pass mask.astype(bool) to say who may attend, or an additive mask of zeros and -inf"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        op(query, key, value, np.tri(3, 5, dtype=dtype))


@both
def test_floating_masks_of_only_zeros_or_only_ones_are_additive(op: Callable, name: str) -> None:
    plain, _ = op(query, key, value)
    for mask in (np.zeros((3, 5)), np.ones((3, 5))):
        assert np.abs(op(query, key, value, mask)[0] - plain).max() < 1e-14


@both
@pytest.mark.parametrize("shape", [(4,), (3, 4), (5, 3), (3, 1, 5), (2, 2, 3, 5), (1, 2, 3, 5), (0,)])
def test_masks_that_do_not_broadcast(op: Callable, name: str, shape: tuple[int, ...]) -> None:
    sentence = f"{name}: mask has shape {shape}, which does not broadcast to the scores' (2, 3, 5)"
    for mask in (np.ones(shape, bool), np.full(shape, 0.5)):
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            op(query, key, value, mask)


@both
def test_masks_that_are_no_arrays(op: Callable, name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}: mask must be boolean or floating, got list; .*mask.astype\(bool\)"):
        op(query, key, value, mask=[[True] * 5] * 3)


@both
def test_keys_that_do_not_match(op: Callable, name: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^{name}: d_k is 4 in query of shape \(2, 3, 4\), but 3 in key of shape \(2, 5, 3\)$"
    ):
        op(query, key[..., :3], value)
    with pytest.raises(
        ValueError,
        match=rf"^{name}: \*batch is \(2,\) in query of shape \(2, 3, 4\), but \(1,\) in key of shape \(1, 5, 4\)$",
    ):
        op(query, key[:1], value)
    with pytest.raises(
        ValueError,
        match=rf"^{name}: \*batch is \(2,\) in query of shape \(2, 3, 4\), but \(\) in key of shape \(5, 4\)$",
    ):
        op(query, key[0], value)
    with pytest.raises(ValueError, match=rf"^{name}: query must have at least 2 dimension\(s\), got shape \(4,\)$"):
        op(query[0, 0], key[0, 0], value[0, 0])


def test_values_that_do_not_match() -> None:
    name = "scaled_dot_product_attention"
    with pytest.raises(
        ValueError, match=rf"^{name}: t_key is 5 in key of shape \(2, 5, 4\), but 4 in value of shape \(2, 4, 6\)$"
    ):
        scaled_dot_product_attention(query, key, value[:, :4])
    with pytest.raises(
        ValueError,
        match=rf"^{name}: \*batch is \(2,\) in query of shape \(2, 3, 4\), but \(1,\) in value of shape \(1, 5, 6\)$",
    ):
        scaled_dot_product_attention(query, key, value[:1])


@both
def test_dtypes_that_do_not_match(op: Callable, name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}: key is float32, query is float64; expected one dtype$"):
        op(query, key.astype(np.float32), value)
    with pytest.raises(TypeError, match=f"^{name}: query must be a floating array, got int64$"):
        op(query.astype(np.int64), key, value)
    with pytest.raises(TypeError, match=f"^{name}: key must be a floating array, got bool$"):
        op(query, key > 0, value)


@pytest.mark.usefixtures("unchecked")
def test_value_dtype_and_options_out_of_range() -> None:
    with pytest.raises(TypeError, match=r"^scaled_dot_product_attention: value is float32, query is float64"):
        scaled_dot_product_attention(query, key, value.astype(np.float32))
    for dropout in (-0.1, 1.0):
        with pytest.raises(
            ValueError, match=rf"^scaled_dot_product_attention: dropout must lie in \[0, 1\), got {dropout}"
        ):
            scaled_dot_product_attention(query, key, value, dropout=dropout)
    with pytest.raises(TypeError, match=r"^scaled_dot_product_attention: scale must be a number or None, got 'wide'$"):
        scaled_dot_product_attention(query, key, value, mask=None, scale="wide")
