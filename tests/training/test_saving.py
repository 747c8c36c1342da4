from pathlib import Path

import numpy as np
import pytest

from scratchformer.layers import FeedForward
from scratchformer.models import GPT
from scratchformer.optim import WeightAverage
from scratchformer.training import (
    Checkpoint,
    load,
    model_checkpoint,
    read_checkpoint,
    save,
    trained_checkpoint,
    training_checkpoint,
    write_checkpoint,
)
from tests.training.setting import ragged_batches, tiny_gpt, tiny_trainer


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tied_head", [True, False])
def test_a_model_comes_back_bit_for_bit(tmp_path: Path, dtype: type, tied_head: bool) -> None:
    model = tiny_gpt(seed=1, dtype=dtype, tied_head=tied_head)
    save(tmp_path / "model.safetensors", model, note="mine")
    assert read_checkpoint(tmp_path / "model.safetensors").description["note"] == "mine"
    for loaded in (
        load(tmp_path / "model.safetensors"),
        load(str(tmp_path / "model.safetensors"), tiny_gpt(seed=2, dtype=dtype, tied_head=tied_head)),
    ):
        assert isinstance(loaded, GPT)
        assert loaded.config == model.config
        assert loaded.values.dtype == dtype
        np.testing.assert_array_equal(loaded.values, model.values)
        ids = np.array([[0, 1, 2]])
        np.testing.assert_array_equal(loaded(ids)[0], model(ids)[0])
        loss, backward = loaded.loss(ids, ids)
        backward()
        assert loaded.grads.any()


def test_of_a_folder_it_is_the_best_and_of_a_training_checkpoint_the_average(tmp_path: Path) -> None:
    model = tiny_gpt()
    average = WeightAverage(model, 0.5)
    with tiny_trainer(model, average=average) as trainer:
        trainer.step(ragged_batches(3, 1))
    write_checkpoint(tmp_path / "last.safetensors", training_checkpoint(trainer))
    assert trained_checkpoint(tmp_path) == tmp_path / "last.safetensors"
    np.testing.assert_array_equal(load(tmp_path).values, average.values)
    assert not np.array_equal(average.values, model.values)
    best = tiny_gpt(seed=7)
    write_checkpoint(tmp_path / "best.safetensors", model_checkpoint(best))
    assert trained_checkpoint(tmp_path) == tmp_path / "best.safetensors"
    np.testing.assert_array_equal(load(tmp_path).values, best.values)


def test_a_model_of_ones_own_is_filled_and_cannot_be_guessed(tmp_path: Path) -> None:
    def layer(seed: int, d_hidden: int = 3) -> FeedForward:
        layer = FeedForward(2, d_hidden, generator=np.random.default_rng(seed))
        layer.pack()
        return layer

    mine = layer(1)
    write_checkpoint(tmp_path / "mine", model_checkpoint(mine))
    np.testing.assert_array_equal(load(tmp_path / "mine", layer(2)).values, mine.values)
    with pytest.raises(ValueError, match=r"'FeedForward' is not in scratchformer\.models, pass a model of this type"):
        load(tmp_path / "mine")
    other = layer(2, d_hidden=4)
    before = other.values.copy()
    with pytest.raises(
        ValueError, match=r"the tensor 'up.weight' is float32 \(2, 3\) in the checkpoint, expected float32"
    ):
        load(tmp_path / "mine", other)
    np.testing.assert_array_equal(other.values, before)


TINY = {"vocabulary_size": 7, "context_length": 6, "num_layers": 1, "num_heads": 2, "d_model": 4}


@pytest.mark.parametrize(
    "described",
    [
        None,
        {},
        {"type": "GPT"},
        {"type": "GPTConfig", "config": {}, "dtype": "float32"},
        {"type": "GPT", "config": {"vocabulary_size": 0}, "dtype": "float32"},
        {"type": "GPT", "config": {"size": 3}, "dtype": "float32"},
        {"type": "GPT", "config": {"vocabulary_size": 2**60}, "dtype": "float32"},
        {"type": ["GPT"], "config": {}, "dtype": "float32"},
        {"type": "GPT", "config": [], "dtype": "float32"},
        {"type": "GPT", "config": {"vocabulary_size": 3, "num_layers": 1, "d_model": 12}, "dtype": "no"},
        {"type": "__all__", "config": {}, "dtype": "float32"},
        "GPT",
        {"type": "GPT", "config": "GPT", "dtype": "float32"},
        {"type": "load", "config": {}, "dtype": "float32"},
        {"type": "GPT", "config": {name: TINY[name] for name in TINY if name != "dropout"}, "dtype": "float64"},
        *({"type": "GPT", "config": TINY, "dtype": dtype} for dtype in ("float16", "complex64", "int32", None, [])),
        *(
            {"type": "GPT", "config": TINY | {name: value}, "dtype": "float64"}
            for name, value in (
                ("bias", "no"),
                ("tied_head", 1),
                ("vocabulary_size", "7"),
                ("d_model", 4.0),
                ("dropout", None),
                ("positions", ["learned"]),
                ("num_layers", 10**6),
                ("num_layers", True),
                ("context_length", 10**9),
            )
        ),
    ],
)
def test_a_description_that_makes_no_sense_is_one_sentence(tmp_path: Path, described: object) -> None:
    stored = model_checkpoint(tiny_gpt())
    write_checkpoint(tmp_path / "a", Checkpoint(stored.tensors, {**stored.description, "model": described}))
    with pytest.raises(ValueError, match=r"load: .* holds no model that can be built: .") as caught:
        load(tmp_path / "a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_is_not_finite_is_neither_saved_nor_loaded(tmp_path: Path, value: float) -> None:
    model = tiny_gpt()
    model.norm.bias.value[2] = value
    said = r"1 of 4 values of the tensor 'model\.norm\.bias' are NaN or infinite$"
    with pytest.raises(ValueError, match=f"^save: {said}"):
        save(tmp_path / "a", model)
    write_checkpoint(tmp_path / "a", model_checkpoint(model))
    with pytest.raises(
        ValueError, match=r"^load: .*a does not fit the model: 1 of 4 values of the tensor 'norm\.bias'"
    ):
        load(tmp_path / "a")


@pytest.mark.parametrize("prefix", ["model", "average", "optimizer.m", "optimizer.v"])
def test_a_state_of_training_that_is_not_finite_anywhere_is_not_loaded(tmp_path: Path, prefix: str) -> None:
    model = tiny_gpt()
    checkpoint = training_checkpoint(tiny_trainer(model, average=WeightAverage(model, 0.9)))
    checkpoint.tensors[f"{prefix}.norm.bias"][2] = np.nan
    write_checkpoint(tmp_path / "a", checkpoint)
    with pytest.raises(ValueError, match=r"^load: .*a does not fit the model: 1 of 4 values of the tensor"):
        load(tmp_path / "a")


def test_there_must_be_something(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no checkpoint"):
        load(tmp_path)
    write_checkpoint(tmp_path / "empty", Checkpoint({}, {}))
    assert read_checkpoint(tmp_path / "empty").description == {}
    with pytest.raises(ValueError, match="holds no model"):
        load(tmp_path / "empty")


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_gpt_whose_sines_were_added_to_unscaled_embeddings_is_refused(tmp_path: Path, version: str) -> None:
    for positions, is_refused in (("sinusoidal", True), ("learned", False)):
        model = tiny_gpt(positions=positions)
        stored = model_checkpoint(model)
        write_checkpoint(tmp_path / "old", Checkpoint(stored.tensors, {**stored.description, "scratchformer": version}))
        for arguments in ((), (tiny_gpt(seed=1, positions=positions),)):
            if is_refused:
                said = rf"^load: .*old .*: scratchformer {version} added sinusoidal positions .* must be trained anew$"
                with pytest.raises(ValueError, match=said):
                    load(tmp_path / "old", *arguments)
            else:
                np.testing.assert_array_equal(load(tmp_path / "old", *arguments).values, model.values)
