from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.layers import Dropout, FeedForward, Layer, Linear, Trace
from scratchformer.models import GPT
from scratchformer.ops import softmax
from scratchformer.optim import SGD, AdamW, Constant, WarmupCosine, WeightAverage
from scratchformer.text import TokenBatch
from scratchformer.training import (
    Checkpoint,
    Trainer,
    model_checkpoint,
    next_token_loss,
    read_checkpoint,
    restore,
    training_checkpoint,
    write_checkpoint,
)
from scratchformer.training.settings import settings_of
from tests.strategies import seeds
from tests.training.setting import loss, ragged_batches, tiny_gpt, tiny_trainer


def full_trainer(
    *, seed: int = 0, num_workers: int = 2, num_steps: int = 20, dropout: float = 0.2, **options
) -> Trainer:
    model = tiny_gpt(seed=seed, dropout=dropout, dtype=np.float32)
    settings = {"max_norm": 0.5, "average": WeightAverage(model, 0.9), "num_workers": num_workers, "seed": 5} | options
    return Trainer(model, AdamW(model), WarmupCosine(0.1, 0.01, 3, num_steps), loss, **settings)


def whole_state(trainer: Trainer) -> dict[str, bytes]:
    return {name: tensor.tobytes() for name, tensor in training_checkpoint(trainer).tensors.items()}


@given(num_steps=st.integers(1, 8), stopped_after=st.integers(0, 8), num_workers=st.integers(1, 3), seed=seeds)
@settings(max_examples=15, deadline=None)
def test_a_run_that_was_stopped_equals_one_that_was_not_in_every_bit(
    num_steps: int, stopped_after: int, num_workers: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("state") / "last.safetensors"
    whole = full_trainer(num_workers=num_workers)
    with whole:
        steps = [whole.step(ragged_batches(seed + i, 2)) for i in range(num_steps)]
    stopped_after = min(stopped_after, num_steps)

    first = full_trainer(num_workers=num_workers)
    with first:
        resumed_steps = [first.step(ragged_batches(seed + i, 2)) for i in range(stopped_after)]
    write_checkpoint(path, training_checkpoint(first))
    second = full_trainer(num_workers=num_workers, seed=9)  # other initial weights: all must come from the file
    restore(second, read_checkpoint(path))
    with second:
        resumed_steps += [second.step(ragged_batches(seed + i, 2)) for i in range(stopped_after, num_steps)]
    assert resumed_steps == steps
    assert whole_state(second) == whole_state(whole)
    assert second.optimizer.num_steps == num_steps


def test_one_negative_square_is_refused_and_changes_nothing() -> None:
    trainer = full_trainer()
    stored = training_checkpoint(trainer)
    name = max(name for name in stored.tensors if name.startswith("optimizer.v."))
    squares = stored.tensors[name].copy()
    squares.flat[-1] = -1e-9
    before = whole_state(trainer)
    with pytest.raises(ValueError, match=rf"^restore: the tensor '{name}' holds negative values, expected none$"):
        restore(trainer, Checkpoint({**stored.tensors, name: squares}, stored.description))
    assert whole_state(trainer) == before


def test_tensors_are_stored_by_name() -> None:
    trainer = full_trainer()
    with trainer:
        trainer.step(ragged_batches(0, 1))
    tensors = training_checkpoint(trainer).tensors
    names = trainer.model.parameters()
    assert tensors.keys() == {
        f"{kind}.{name}" for kind in ("model", "optimizer.m", "optimizer.v", "average") for name in names
    }
    for name, parameter in names.items():
        np.testing.assert_array_equal(tensors[f"model.{name}"], parameter.value)
        np.testing.assert_allclose(tensors[f"optimizer.m.{name}"], 0.1 * parameter.grad, rtol=1e-6)
        np.testing.assert_allclose(tensors[f"optimizer.v.{name}"], 0.001 * parameter.grad**2, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": 1}, "training.num_shards is 1 now and was 2 then"),
        ({"num_steps": 21}, "training.schedule.num_steps is 21 now and was 20 then"),
        ({"dropout": 0.3}, "model.config.dropout is 0.3 now and was 0.2 then"),
        ({"max_norm": None}, "training.max_norm is None now and was 0.5 then"),
        ({"average": None}, "training.average is None now and was {'type': 'WeightAverage', 'decay': 0.9} then"),
    ],
)
def test_a_difference_is_refused_by_name_and_changes_nothing(options: dict, message: str) -> None:
    trainer = full_trainer()
    with trainer:
        trainer.step(ragged_batches(0, 1))
    other = full_trainer(**options)
    before = whole_state(other)
    with pytest.raises(ValueError, match="restore: ") as caught:
        restore(other, training_checkpoint(trainer))
    assert str(caught.value) == f"restore: {message}"
    assert whole_state(other) == before
    assert other.optimizer.num_steps == 0


def test_another_optimizer_schedule_seed_or_setting_is_refused() -> None:
    model = tiny_gpt()
    stored = training_checkpoint(tiny_trainer(model, seed=1))
    for trainer, named in (
        (Trainer(model, AdamW(model, betas=(0.8, 0.999)), Constant(0.01), loss, seed=1), "training.optimizer.betas is"),
        (
            Trainer(model, AdamW(model, weight_decay=0.2), Constant(0.01), loss, seed=1),
            "training.optimizer.weight_decay",
        ),
        (Trainer(model, SGD(model, momentum=0.9), Constant(0.01), loss, seed=1), "training.optimizer.type is 'SGD'"),
        (Trainer(model, AdamW(model), Constant(0.02), loss, seed=1), "training.schedule.rate is 0.02 now and was 0.01"),
        (tiny_trainer(model, seed=2), "training.seed is 2 now and was 1 then"),
        (tiny_trainer(model, seed=1, average=WeightAverage(model, 0.5)), "training.average is"),
        (tiny_trainer(tiny_gpt(dtype=np.float32), seed=1), "model.dtype is 'float32' now and was 'float64' then"),
    ):
        with pytest.raises(ValueError, match=f"restore: {named}"):
            restore(trainer, stored)


RATE = 0.1


class Rates:
    __slots__ = ("rates",)

    def __init__(self, *rates: object) -> None:
        self.rates = rates

    def __call__(self, step: int) -> float:
        return self.rates[0]


def halving(rate: float) -> Callable[[int], float]:
    return lambda step: rate / 2**step


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (lambda step: 0.1 / (step + 1), lambda step: 0.2 / (step + 1), "constants is"),
        (lambda step: float("0.1"), lambda step: float("0.2"), "constants is"),
        (halving(0.1), halving(0.2), "reads.rate is 0.2 now and was 0.1 then"),
        (lambda step, rate=0.1: rate, lambda step, rate=0.2: rate, "defaults is"),
        (partial(pow, 0.5), partial(pow, 0.4), "arguments is"),
        (Rates(0.1).__call__, Rates(0.2).__call__, "object.rates is"),
        (Rates(np.float32(0.1)), Rates(np.float32(0.2)), r"rates is \[0.2"),
        (Rates(np.ones(2)), Rates(np.zeros(2)), "rates is"),
        (Rates(0.1, [None]), Rates(0.1, [Constant(0.2)]), "rates is"),
    ],
)
def test_a_schedule_may_be_any_function_and_none_of_its_settings_is_lost(
    first: Callable, second: Callable, named: str
) -> None:
    model = tiny_gpt()
    stored, other = (Trainer(model, AdamW(model), schedule, loss) for schedule in (first, second))
    restore(stored, training_checkpoint(stored))
    with pytest.raises(ValueError, match=rf"^restore: training\.schedule\.{named}"):
        restore(other, training_checkpoint(stored))


def test_a_setting_from_outside_is_compared_and_one_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_gpt()
    trainer = Trainer(model, AdamW(model), lambda step: RATE, loss)
    stored = training_checkpoint(trainer)
    monkeypatch.setitem(globals(), "RATE", 0.2)
    with pytest.raises(ValueError, match=r"schedule\.reads\.RATE is 0\.2 now and was 0\.1 then"):
        restore(trainer, stored)
    with pytest.raises(TypeError, match=r"^schedule\.rates\.0 is of the type Generator, which cannot be compared"):
        training_checkpoint(Trainer(model, AdamW(model), Rates(np.random.default_rng(0)), loss))
    with pytest.raises(TypeError, match=r"^schedule\.rates\.0 is of the type complex64, which cannot be compared"):
        training_checkpoint(Trainer(model, AdamW(model), Rates(np.complex64(1j)), loss))


def smoothed(smoothing: float) -> Callable:
    return lambda model, batch, generator, trace: model.loss(batch.ids, batch.targets, label_smoothing=smoothing)


def masked_loss(model: GPT, batch: TokenBatch, generator: np.random.Generator | None, trace: Trace) -> tuple:
    return next_token_loss(model, batch, generator, trace)


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (loss, masked_loss, "loss.name is 'masked_loss' now and was 'loss' then"),
        (smoothed(0.1), smoothed(0.2), "loss.reads.smoothing is 0.2 now and was 0.1 then"),
        (partial(loss, smoothing=0.1), partial(loss, smoothing=0.2), "loss.options.smoothing is 0.2 now and was 0.1"),
        (loss, next_token_loss, "loss.name is 'next_token_loss' now and was 'loss' then"),
    ],
)
def test_another_loss_function_is_refused(first: Callable, second: Callable, named: str) -> None:
    model = tiny_gpt()
    stored, other = (Trainer(model, AdamW(model), Constant(0.1), function) for function in (first, second))
    restore(stored, training_checkpoint(stored))
    with pytest.raises(ValueError, match=rf"^restore: training\.{named}"):
        restore(other, training_checkpoint(stored))


def test_a_function_of_the_library_is_its_name_and_its_options() -> None:
    (reads,) = settings_of("loss", lambda x: softmax(x))["reads"].values()
    assert reads == {
        "type": "function",
        "name": "softmax",
        "defaults": None,
        "keyword_defaults": None,
        "reads": {},
    }


class OwnModel(Layer):
    """A model without a configuration, with options of several kinds, and a count that changes while it trains."""

    def __init__(self, *, heads: int = 2, activation: Callable = np.tanh, width: int = 4, depth: int = 1) -> None:
        generator = np.random.default_rng(0)
        self.num_heads = heads
        self.activation = activation
        self.generator = generator
        self.layers = [Linear(width, width, generator=generator) for _ in range(depth)]
        self.dropouts = {"first": Dropout(0.1 * heads)}
        self.owner = self
        self.pack()


class OtherModel(OwnModel):
    """Is laid out as the other one."""


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (OtherModel(), "type is 'OtherModel' now and was 'OwnModel' then"),
        (OwnModel(heads=4), "options.num_heads is 4 now and was 2 then"),
        (OwnModel(activation=np.sin), "options.activation.name is 'sin' now and was 'tanh' then"),
        (
            OwnModel(width=5),
            r"parameters.layers.0.weight is 'float32 \(5, 5\)' now and was 'float32 \(4, 4\)' then",
        ),
        (OwnModel(depth=2), r"parameters.layers.1.weight is 'float32 \(4, 4\)' now and was None then"),
    ],
)
def test_another_model_without_a_configuration_is_refused(other: OwnModel, named: str) -> None:
    trainer = tiny_trainer(OwnModel())
    trainer.model.layers[0].weight.value[...] = trainer.model.generator.normal(size=(4, 4))
    restore(trainer, training_checkpoint(tiny_trainer(OwnModel())))
    with pytest.raises(ValueError, match=rf"^restore: model\.{named}"):
        restore(tiny_trainer(other), training_checkpoint(trainer))


@pytest.mark.usefixtures("unchecked")
def test_numpy_numbers_are_taken_as_python_numbers_and_saved(tmp_path: Path) -> None:
    def made(integer: type, floating: type, boolean: type) -> Trainer:
        model = tiny_gpt(vocabulary_size=integer(7), dropout=floating(0.5), norm_first=boolean(1))
        return Trainer(
            model,
            SGD(model, momentum=floating(0.5), nesterov=boolean(1)),
            WarmupCosine(floating(0.5), floating(0.25), integer(3), integer(200)),
            loss,
            max_norm=floating(0.5),
            average=WeightAverage(model, floating(0.75)),
            num_workers=integer(2),
            seed=integer(5),
        )

    plain, numpy = made(int, float, bool), made(np.uint8, np.float16, np.bool_)
    restore(numpy, training_checkpoint(plain))
    with numpy:
        numpy.step(ragged_batches(0, 1))
    about = {"loss": np.float32(1.5), "steps": (np.int64(3), np.arange(2))}
    write_checkpoint(tmp_path / "a", training_checkpoint(numpy, **about))
    stored = read_checkpoint(tmp_path / "a")
    assert (stored.description["loss"], stored.description["steps"]) == (1.5, [3, [0, 1]])
    assert all(value is None or type(value) in (int, float, bool, str) for value in vars(numpy.model.config).values())
    restore(plain, stored)
    numpy.schedule = WarmupCosine(np.float32(0.3), 0.25, 3, 200)
    with pytest.raises(ValueError, match=r"schedule\.peak is 0\.300.* now and was 0\.5 then"):
        restore(numpy, stored)


def test_tensors_that_do_not_fit_are_refused_before_anything_is_changed() -> None:
    trainer = tiny_trainer(tiny_gpt(seed=1))
    stored = training_checkpoint(tiny_trainer(tiny_gpt(seed=2)))
    before = whole_state(trainer)
    name = "model.norm.bias"
    for tensors, message in (
        (
            {key: value for key, value in stored.tensors.items() if key != name},
            f"'{name}' is missing in the checkpoint",
        ),
        ({**stored.tensors, "more": np.ones(1)}, "'more' is in the checkpoint alone"),
        (
            {**stored.tensors, name: np.ones(5)},
            rf"'{name}' is float64 \(5,\) in the checkpoint, expected float64 \(4,\)",
        ),
        ({**stored.tensors, name: np.ones(4, np.float32)}, rf"'{name}' is float32 \(4,\) in the checkpoint"),
    ):
        with pytest.raises(ValueError, match=message):
            restore(trainer, Checkpoint(tensors, stored.description))
        assert whole_state(trainer) == before


def test_names_that_are_the_checkpoint_s_own_cannot_be_taken() -> None:
    for name in ("model", "num_steps", "training"):
        with pytest.raises(ValueError, match=f"the name '{name}' is the checkpoint's own"):
            training_checkpoint(tiny_trainer(tiny_gpt()), **{name: 1})
    with pytest.raises(ValueError, match=r"model has no vector of values yet; call its pack\(\) first"):
        model_checkpoint(FeedForward(2, 3, generator=np.random.default_rng(0)))


def test_the_checkpoint_of_a_model_alone_is_refused() -> None:
    trainer = tiny_trainer(tiny_gpt())
    stored = training_checkpoint(trainer)
    description = {name: value for name, value in stored.description.items() if name != "num_steps"}
    with pytest.raises(ValueError, match="holds no number of steps"):
        restore(trainer, Checkpoint(stored.tensors, description))


def test_every_model_has_a_description_that_json_holds(tmp_path: Path) -> None:
    model: GPT = tiny_gpt(dtype=np.float32)
    write_checkpoint(tmp_path / "a", training_checkpoint(tiny_trainer(model), run={"text": "x"}))
    description = read_checkpoint(tmp_path / "a").description
    assert description["model"]["type"] == "GPT"
    assert description["model"]["config"]["d_model"] == 4
    assert description["run"] == {"text": "x"}
    assert description["num_steps"] == 0
    assert {"scratchformer", "numpy"} <= description.keys()
