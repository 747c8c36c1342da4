"""The model's gradients are right, its data, measures and verdict are what they say, and the arms differ by decay."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import grokking
from experiments.grokking import ARMS, PRESETS, AdditionTransformer, Grokking, Options
from scratchformer.layers.trace import NO_TRACE
from scratchformer.ops import cross_entropy
from scratchformer.recipes.compared_models import read_arms
from scratchformer.runs import Result, read_table
from scratchformer.text import TokenBatch
from scratchformer.training import LAST, read_checkpoint
from tests.experiments.conftest import SmokeRun
from tests.experiments.running import run
from tests.gradients import check_layer, with_random_values

MEASURED = ["training_accuracy", "training_loss", "test_accuracy", "test_loss", "top_five_share"]


@pytest.fixture
def smoke(smoke_of: Callable[[str], SmokeRun]) -> Path:
    return smoke_of("grokking").path


def naive_logits(model: AdditionTransformer, ids: np.ndarray, heads: int) -> np.ndarray:
    """Logits of one sequence at its last position, of a layer that computes every position in full."""
    weights = {name: parameter.value for name, parameter in model.parameters().items()}
    x = np.array([weights["token_embedding.table"][token] for token in ids]) + weights["position_embedding.table"]
    width = x.shape[1]
    query, key, value = (
        x @ weights["attention.query.weight"],
        *np.split(x @ weights["attention.key_value.weight"], 2, 1),
    )
    mixed = np.zeros_like(x)
    for head in np.split(np.arange(width), heads):
        scores = np.exp(query[:, head] @ key[:, head].T / math.sqrt(width / heads))
        mixed[:, head] = scores / scores.sum(axis=1, keepdims=True) @ value[:, head]
    x = x + mixed @ weights["attention.output.weight"]
    hidden = x @ weights["feed_forward.up.weight"]
    x = x + hidden * (hidden > 0) @ weights["feed_forward.down.weight"]
    return (x @ weights["head.weight"])[-1]


@pytest.mark.parametrize(("batch", "sizes"), [((), (4, 1)), ((4,), (6, 3)), ((2, 2), (4, 2))])
def test_every_gradient_of_the_model_is_right(batch: tuple[int, ...], sizes: tuple[int, int]) -> None:
    generator = np.random.default_rng(len(batch))
    model = AdditionTransformer(5, *sizes, generator=generator)
    check_layer(model, generator.integers(6, size=(*batch, 3)), seed=len(batch), is_analytic=False, scale=0.5)


def test_the_last_position_of_a_model_computed_in_full_gives_the_logits() -> None:
    model = with_random_values(AdditionTransformer(7, 6, 3, generator=np.random.default_rng(0)), seed=1)
    ids = np.random.default_rng(2).integers(8, size=(4, 3))
    logits, _ = model(ids)
    assert logits.shape == (4, 1, 7)
    for row, found in zip(ids, logits, strict=True):
        np.testing.assert_allclose(found[0], naive_logits(model, row, 3), rtol=1e-12)


def test_all_parameters_start_with_the_same_deviation() -> None:
    model = AdditionTransformer(113, 128, 4, generator=np.random.default_rng(0))
    assert model.values.dtype == np.float32
    assert model.num_decayed == model.values.size == 114 * 128 + 3 * 128 + 4 * 128**2 + 8 * 128**2 + 128 * 113
    for name, parameter in model.parameters().items():
        assert parameter.value.std() == pytest.approx(128**-0.5, rel=0.2 if name.startswith("position") else 0.03)


def test_the_seed_decides_the_first_weights() -> None:
    one, again, other = (grokking.make_model(replace(PRESETS["smoke"], seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.values, again.values)
    assert (one.values != other.values).all()


def test_the_loss_is_that_of_the_last_position_and_its_gradient_that_of_the_mean() -> None:
    model = with_random_values(AdditionTransformer(5, 8, 2, generator=np.random.default_rng(0)), seed=1, scale=0.3)
    training, _ = grokking.split(replace(PRESETS["smoke"], modulus=5))
    loss, backward = grokking.loss(model, training, None, NO_TRACE)
    logits, logits_backward = model(training.ids)
    expected, dlogits = cross_entropy(logits[:, 0], training.ids[:, :2].sum(axis=1) % 5)
    assert loss == pytest.approx(float(expected))
    model.grads[...] = 0
    logits_backward(0.25 * dlogits()[:, None])
    by_hand = model.grads.copy()
    model.grads[...] = 0
    backward(0.25)
    np.testing.assert_allclose(model.grads, by_hand, rtol=1e-12)


def test_the_loss_knows_what_float32_cannot_tell_from_zero() -> None:
    received = []

    class Sure:
        """Gives logits that leave 4 exp(-20) to the wrong answers."""

        def __call__(self, ids: np.ndarray, *, trace: object) -> tuple[np.ndarray, Callable[[np.ndarray], None]]:
            return np.array([[[0, 0, 0, 20, 0]]], np.float32), received.append

    batch = TokenBatch(np.array([[1, 2, 5]]), np.array([[-100, -100, 3]]))
    loss, backward = grokking.loss(Sure(), batch, None, NO_TRACE)
    assert loss == pytest.approx(4 * math.exp(-20), rel=1e-6)
    backward()
    assert received[0].dtype == np.float32
    tiny = math.exp(-20)
    np.testing.assert_allclose(received[0], [[[tiny, tiny, tiny, -4 * tiny, tiny]]], rtol=1e-6)


@pytest.mark.parametrize(("modulus", "share", "count"), [(11, 0.5, 60), (53, 0.5, 1404), (113, 0.3, 3830)])
def test_every_pair_is_in_one_part_with_its_sum(modulus: int, share: float, count: int) -> None:
    training, test = grokking.split(replace(PRESETS["quick"], modulus=modulus, share=share))
    assert len(training.ids) == training.num_targets == count
    assert sorted((a, b) for part in (training, test) for a, b, _ in part.ids.tolist()) == [
        (a, b) for a in range(modulus) for b in range(modulus)
    ]
    for part in (training, test):
        assert (part.ids[:, 2] == modulus).all()
        assert (part.targets[:, :2] == -100).all()
        assert (part.targets[:, 2] == (part.ids[:, 0] + part.ids[:, 1]) % modulus).all()
    again, _ = grokking.split(replace(PRESETS["quick"], modulus=modulus, share=share))
    other, _ = grokking.split(replace(PRESETS["quick"], modulus=modulus, share=share, seed=1))
    np.testing.assert_array_equal(training.ids, again.ids)
    assert (training.ids != other.ids).any()


def test_the_share_of_pairs_whose_mirror_image_is_trained_is_that_of_training() -> None:
    training, test = grokking.split(PRESETS["quick"])
    known = {(b, a) for a, b, _ in training.ids.tolist()}
    assert np.mean([(a, b) in known for a, b, _ in test.ids.tolist()]) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("modulus", [5, 11])
def test_the_spectrum_is_that_of_sums_of_waves(modulus: int) -> None:
    model = AdditionTransformer(modulus, 4, 1, generator=np.random.default_rng(0))
    table = model.token_embedding.table.value
    found = grokking.spectrum(model)
    numbers = np.arange(modulus)
    for k in range(1, (modulus + 1) // 2):
        waves = [wave(2 * np.pi * k * numbers / modulus) @ table[:-1] for wave in (np.cos, np.sin)]
        assert found[k - 1] == pytest.approx(math.sqrt(2 * np.sum(np.square(waves))) / modulus, rel=1e-5)
    assert len(found) == (modulus - 1) // 2
    centred = table[:-1] - table[:-1].mean(axis=0)
    assert np.sum(found**2) == pytest.approx(np.mean(np.sum(centred**2, axis=1)), rel=1e-5)


def test_what_is_measured_is_what_the_names_say() -> None:
    config = replace(PRESETS["smoke"], modulus=13)
    model = grokking.make_model(config)
    training, test = grokking.split(config)
    found = grokking.measure("decay", model, {"training": training, "test": test})
    assert list(found) == [f"decay_{name}" for name in MEASURED]
    for name, part in (("training", training), ("test", test)):
        right, loss = [], []
        for ids in part.ids:
            logits = naive_logits(model, ids, config.heads)
            answer = ids[:2].sum() % 13
            right.append(np.argmax(logits) == answer)
            loss.append(math.log(np.exp(logits - logits[answer]).sum()))
        assert 0 < np.mean(right) < 1
        assert found[f"decay_{name}_accuracy"] == np.mean(right)
        assert found[f"decay_{name}_loss"] == pytest.approx(np.mean(loss), rel=1e-5)
    squares = grokking.spectrum(model) ** 2
    assert found["decay_top_five_share"] == pytest.approx(1 - squares.min() / squares.sum())


def test_a_run_measures_both_arms_and_shows_sums_that_no_mirror_image_tells(
    smoke_of: Callable[[str], SmokeRun],
) -> None:
    smoke = smoke_of("grokking")
    achieved = {
        result["metric"]: result["achieved"]
        for result in json.loads((smoke.path / "summary.json").read_text())["results"]
    }
    measured = read_arms(smoke.path, ARMS)
    assert list(measured) == [f"{arm}_{name}" for arm in ("decay", "control") for name in MEASURED]
    for steps, _ in measured.values():
        assert steps.tolist() == [*range(20, 150, 20), 150]
    for arm, metric in (("decay", "test_accuracy"), ("control", "control_test_accuracy")):
        assert achieved[metric] == measured[f"{arm}_test_accuracy"][1][-1]
        assert measured[f"{arm}_training_accuracy"][1][-1] == 1, "so few pairs are soon known by heart"
    assert "60 pairs to learn from, 61 to test on" in smoke.printed
    said = [line for line in smoke.printed.splitlines() if ": with decay " in line]
    assert len(said) == 5
    training, test = grokking.split(replace(PRESETS["smoke"], seed=5))
    trained, tested = ({(a, b) for a, b, _ in part.ids.tolist()} for part in (training, test))
    for line in said:
        a, b, total = (int(line.split()[place]) for place in (0, 2, 4))
        assert (a + b) % 11 == total
        assert (a, b) in tested
        assert (b, a) not in trained


def test_the_arms_differ_by_the_decay_alone(smoke: Path) -> None:
    decay, control = (read_checkpoint(smoke / arm / LAST).description["training"] for arm in ("decay", "control"))
    assert decay["optimizer"].pop("weight_decay") == 1
    assert control["optimizer"].pop("weight_decay") == 0
    assert decay == control
    assert decay["optimizer"]["betas"] == [0.9, 0.98]
    tables = [read_table(smoke / arm / "metrics.csv") for arm in ("decay", "control")]
    for table in tables:
        assert list(map(float, table["learning_rate"])) == pytest.approx([min(i / 11, 1) / 1000 for i in range(1, 151)])
    assert tables[0]["training_loss"][0] == tables[1]["training_loss"][0], "both start from the same weights"


@pytest.mark.parametrize("arm", ["decay", "control"])
def test_measures_are_those_of_what_the_run_trains_and_tests_on(arm: str, smoke: Path) -> None:
    measured, table = read_arms(smoke, ARMS), read_table(smoke / arm / "metrics.csv")
    steps, test_loss = measured[f"{arm}_test_loss"]
    assert [float(table["validation_loss"][step - 1]) for step in steps] == pytest.approx(test_loss, rel=1e-6)
    steps, training_loss = measured[f"{arm}_training_loss"]
    after = [float(loss) for loss in table["training_loss"]][1:]
    assert [after[step - 1] for step in steps[:-1]] == pytest.approx(training_loss[:-1], rel=1e-5), (
        "each step trains on all"
    )


def test_the_answers_shown_are_each_models_own(capsys: pytest.CaptureFixture[str]) -> None:
    training, test = grokking.split(replace(PRESETS["smoke"], share=0.98))

    def always(answer: int) -> Callable[[np.ndarray], tuple[np.ndarray, None]]:
        return lambda ids: (np.eye(11)[np.full((len(ids), 1), answer)], None)

    grokking.print_answers({"decay": always(3), "control": always(7)}, test, training)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 5
    assert all(line.endswith("mod 11: with decay 3, without 7") for line in lines[2:])
    grokking.print_answers({"decay": grokking.make_model(PRESETS["smoke"])}, training, TokenBatch(*[test.ids[:0]] * 2))
    assert len(capsys.readouterr().out.splitlines()) == 2, "there may be none"


def test_without_control_there_is_one_model_and_no_word_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grokking, "read_arms", lambda path, arms: as_published())
    one = Grokking(replace(PRESETS["smoke"], control=False))
    assert list(one.trainings) == ["decay"]
    metrics = [result.metric for result in one.judge(FOLDER)]
    assert "test_accuracy" in metrics
    assert "control_test_accuracy" not in metrics
    printed = capsys.readouterr().out
    assert ": with decay" in printed
    assert ", without" not in printed


@pytest.mark.usefixtures("without_pixels")
@pytest.mark.parametrize("left", [["config.json"], ["config.json", "decay"], ["config.json", "decay", "control"]])
def test_what_was_measured_is_drawn(left: list[str], smoke: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(smoke, folder, ignore=lambda path, names: set(names) - set(left) if path == str(smoke) else [])
    Grokking.draw(folder)
    curves = {"test, with decay": "decay", "test, without": "control", "training, with decay": "decay"}
    always = dict.fromkeys(["pairs of which b + a is trained", "loss, nats per sum", "training step"], "config.json")
    spectrum = dict.fromkeys(["before training", "frequency, periods in p"], "config.json")
    for name, texts in (
        ("grokking", curves | always),
        ("spectrum", spectrum | {"with decay": "decay", "without": "control"}),
    ):
        svg = (folder / f"{name}.svg").read_text(encoding="utf-8")
        for text, source in texts.items():
            assert (f">{text}<" in svg) == (source in left)


def as_published() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What a run measures that meets every target of `quick` by nothing."""
    steps = np.array([100, 150, 449, 450, 2200])
    curves = {
        "decay_training_accuracy": [0.98, 0.99, 1, 1, 1],
        "decay_test_accuracy": [0.4, 0.5, 0.89, 0.9, 0.99],
        "control_test_accuracy": [0.4, 0.5, 0.5, 0.5, 0.6],
        "decay_top_five_share": [0.3, 0.3, 0.3, 0.3, 0.9],
    }
    return {name: (steps, np.array(values)) for name, values in curves.items()}


class FOLDER:
    """In the place of a run folder, whose measures the tests invent."""

    path = Path("nowhere")


def judged(options: Options, curves: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[Result]:
    """The verdict on a run with these options that measured these curves."""
    monkeypatch.setattr(grokking, "read_arms", lambda path, arms: curves)
    monkeypatch.setattr(grokking, "print_answers", lambda *given: None)
    monkeypatch.setattr(Grokking, "training_of", lambda self, arm: None)
    monkeypatch.setattr(Grokking, "models", {})
    return Grokking(options).judge(FOLDER)


def test_what_was_published_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    results = judged(PRESETS["quick"], as_published(), monkeypatch)
    assert [(result.metric, result.achieved, result.passed) for result in results] == [
        ("steps_to_memorise", 150, True),
        ("steps_to_understand", 450, True),
        ("test_accuracy", 0.99, True),
        ("top_five_share", 0.9, None),
        ("control_test_accuracy", 0.6, True),
    ]


@pytest.mark.parametrize(
    ("curve", "place", "value", "failed"),
    [
        ("decay_training_accuracy", 1, 0.98, ["steps_to_memorise"]),
        ("decay_test_accuracy", 2, 0.9, ["steps_to_understand"]),
        ("decay_test_accuracy", 4, 0.98, ["test_accuracy"]),
        ("decay_test_accuracy", slice(2, 5), 0.5, ["steps_to_understand", "test_accuracy"]),
        ("control_test_accuracy", 4, 0.62, ["control_test_accuracy"]),
        ("decay_training_accuracy", slice(None), 0.5, ["steps_to_memorise"]),
        ("decay_test_accuracy", slice(None), 0.5, ["steps_to_understand", "test_accuracy"]),
    ],
)
def test_what_falls_short_fails(
    curve: str, place: Any, value: float, failed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = as_published()
    measured[curve][1][place] = value
    results = judged(PRESETS["quick"], measured, monkeypatch)
    assert [result.metric for result in results if result.passed is False] == failed
    never = [result.metric for result in results if math.isnan(result.achieved)]
    assert never == [name for name in failed if name.startswith("steps_") and measured[curve][1].max() < 0.6]


@pytest.mark.parametrize(
    ("options", "is_judged"),
    [
        ({}, True),
        ({"seed": 7, "threads": 1, "save_every": 10, "out": Path("x")}, True),
        *(({name: value}, False) for name, value in (("steps", 2199), ("share", 0.4), ("evaluate_every", 10))),
    ],
)
def test_only_the_settings_of_the_targets_are_judged_whatever_the_seed(
    options: dict[str, Any], is_judged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = judged(replace(PRESETS["quick"], **options), as_published(), monkeypatch)
    assert any(result.target is not None for result in results) == is_judged


def test_the_paper_preset_has_targets_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    results = {result.metric: result for result in judged(PRESETS["paper"], as_published(), monkeypatch)}
    assert results["steps_to_memorise"].target == 250
    assert results["steps_to_understand"].passed is False
    assert results["control_test_accuracy"].target == pytest.approx(0.4)


@pytest.mark.long
def test_the_quick_preset_reaches_its_targets(tmp_path: Path) -> None:
    assert run("grokking.py", "--seed", "1", "--out", "run", cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["passed"]
