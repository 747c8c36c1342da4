from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from scratchformer.training import load_weights, save_weights
from tests.training.setting import tiny_gpt


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tied_head", [True, False])
def test_saved_weights_come_back_bit_for_bit(tmp_path: Path, dtype: type, tied_head: bool) -> None:
    model = tiny_gpt(seed=1, dtype=dtype, tied_head=tied_head)
    other = tiny_gpt(seed=2, dtype=dtype, tied_head=tied_head)
    vector = other.values
    other.grads[...] = 3
    save_weights(model, tmp_path / "weights.safetensors")
    load_weights(other, tmp_path / "weights.safetensors")
    assert other.values is vector
    np.testing.assert_array_equal(vector, model.values)
    assert (other.grads == 3).all()
    ids = np.array([[0, 1, 2]])
    np.testing.assert_array_equal(other(ids)[0], model(ids)[0])


def test_a_file_holds_every_parameter_once_by_name(tmp_path: Path) -> None:
    model = tiny_gpt()
    save_weights(model, tmp_path / "weights.safetensors")
    stored = load_file(tmp_path / "weights.safetensors")
    assert stored.keys() == model.parameters().keys()
    assert "head.table" not in stored
    for name, parameter in model.parameters().items():
        np.testing.assert_array_equal(stored[name], parameter.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary_size": 8}, r"'token_embedding.table' is float64 \(8, 4\) in .*, the model has float64 \(7, 4\)"),
        ({"dtype": np.float32}, r"is float32 \(7, 4\) in .*, the model has float64 \(7, 4\)"),
        ({"tied_head": False}, "differ in the parameter 'head.weight'"),
        ({"bias": False}, "differ in the parameter 'blocks.0.attention.key_value.bias'"),
        ({"num_layers": 2}, "differ in the parameter 'blocks.1.attention.key_value.bias'"),
        # Only the second tensor differs: the first must not have been loaded.
        ({"context_length": 9}, r"'position_embedding.table' is float64 \(9, 4\)"),
    ],
)
def test_weights_of_another_model_are_refused_before_anything_is_changed(
    tmp_path: Path, options: dict, message: str
) -> None:
    save_weights(tiny_gpt(seed=1, **options), tmp_path / "weights.safetensors")
    model = tiny_gpt(seed=2)
    before = model.values.copy()
    with pytest.raises(ValueError, match=f"load_weights: .*{message}"):
        load_weights(model, tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(model.values, before)


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "foreign.safetensors").write_bytes(b"not weights at all")
    for name in ("foreign.safetensors", "missing.safetensors"):
        with pytest.raises(ValueError, match=f"load_weights: .*{name} cannot be read: "):
            load_weights(tiny_gpt(), tmp_path / name)
