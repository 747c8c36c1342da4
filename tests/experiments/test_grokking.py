"""The model's gradients are right, its data and measures are what they say, and both arms go on to the same bytes."""

import json
import math
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from experiments import grokking
from experiments.grokking import ARMS, PRESETS, AdditionTransformer
from scratchformer.ops import cross_entropy
from scratchformer.recipes.arms_in_turn import read_arms
from scratchformer.runs import Stopped, read_table
from scratchformer.text import TokenBatch
from scratchformer.training import LAST, read_checkpoint
from tests.experiments.running import refusal, run, run_program
from tests.gradients import check_layer, with_random_values

OPTIONS = ["--preset", "smoke", "--steps", "30", "--evaluate-every", "10", "--save-every", "7"]
FIGURES = {f"{name}.{suffix}" for name in ("grokking", "spectrum") for suffix in ("png", "svg")}
OF_AN_ARM = {"config.json", "metrics.csv", "norms.csv", "measures.csv", "best.safetensors", "last.safetensors"}
MEASURED = ["training_accuracy", "training_loss", "test_accuracy", "test_loss", "top_five_share"]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run, and what it printed."""
    folder = tmp_path_factory.mktemp("grokking")
    result = run_program("grokking.py", "--preset", "smoke", "--out", "run", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "run", result.stdout


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the figures out of a run: they take longer than it does."""
    monkeypatch.setattr(grokking, "draw", lambda path: [])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run that was left alone."""
    folder = tmp_path_factory.mktemp("whole")
    with patch.object(grokking, "draw", lambda path: []):
        assert run("grokking.py", *OPTIONS, "--out", "run", cwd=folder).returncode == 0
    return folder / "run"


def contents(folder: Path) -> dict[str, bytes]:
    """All files of the arms that depend neither on the clock nor on the folder's name."""
    files = {f"{arm}/{name}": folder / arm / name for arm in ("decay", "control") for name in OF_AN_ARM}
    assert set(files.values()) == {path for arm in ("decay", "control") for path in (folder / arm).iterdir()}
    return {name: path.read_bytes() for name, path in files.items() if path.suffix != ".json"}


def stop_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a signal come in the step after so many, counted over both arms; there are two threads."""
    calls, loss = iter(range(10**6)), grokking.loss

    def counted(model: Any, batch: TokenBatch, generator: Any, trace: Any) -> Any:
        if generator is not None and next(calls) == 2 * steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(model, batch, generator, trace)

    monkeypatch.setattr(grokking, "loss", counted)


def stopped_in(folder: Path) -> Path | None:
    """Starts a run, and says in which folder it is to go on after it was stopped."""
    try:
        grokking.main([*OPTIONS, "--out", str(folder)])
    except Stopped as stopped:
        return stopped.folder
    return None


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
    loss, backward = grokking.loss(model, training, None, None)
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

        def __call__(self, ids: np.ndarray, *, trace: None) -> tuple[np.ndarray, Callable[[np.ndarray], None]]:
            return np.array([[[0, 0, 0, 20, 0]]], np.float32), received.append

    batch = TokenBatch(np.array([[1, 2, 5]]), np.array([[-100, -100, 3]]))
    loss, backward = grokking.loss(Sure(), batch, None, None)
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


def test_a_run_ends_with_everything_in_its_folder(smoke: tuple[Path, str]) -> None:
    folder, printed = smoke
    assert {path.name for path in folder.iterdir()} == FIGURES | {"config.json", "summary.json", "decay", "control"}
    assert len(contents(folder)) == 2 * 5
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["experiment"] == "grokking"
    assert summary["passed"] is None
    achieved = {result["metric"]: result["achieved"] for result in summary["results"]}
    assert all(result["target"] is None for result in summary["results"])
    measured = read_arms(folder, ARMS)
    assert list(measured) == [f"{arm}_{name}" for arm in ("decay", "control") for name in MEASURED]
    for steps, _ in measured.values():
        assert steps.tolist() == [*range(20, 150, 20), 150]
    for arm, metric in (("decay", "test_accuracy"), ("control", "control_test_accuracy")):
        assert achieved[metric] == measured[f"{arm}_test_accuracy"][1][-1]
        assert measured[f"{arm}_training_accuracy"][1][-1] == 1, "so few pairs are soon known by heart"
    assert "60 pairs to learn from, 61 to test on" in printed
    said = [line for line in printed.splitlines() if ": with decay " in line]
    assert len(said) == 5
    training, test = grokking.split(PRESETS["smoke"])
    trained, tested = ({(a, b) for a, b, _ in part.ids.tolist()} for part in (training, test))
    for line in said:
        a, b, total = (int(line.split()[place]) for place in (0, 2, 4))
        assert (a + b) % 11 == total
        assert (a, b) in tested
        assert (b, a) not in trained


def test_the_arms_differ_by_the_decay_alone(smoke: tuple[Path, str]) -> None:
    folder, _ = smoke
    decay, control = (read_checkpoint(folder / arm / LAST).description["training"] for arm in ("decay", "control"))
    assert decay["optimizer"].pop("weight_decay") == 1
    assert control["optimizer"].pop("weight_decay") == 0
    assert decay == control
    assert decay["optimizer"]["betas"] == [0.9, 0.98]
    tables = [read_table(folder / arm / "metrics.csv") for arm in ("decay", "control")]
    for table in tables:
        assert list(map(float, table["learning_rate"])) == pytest.approx([min(i / 11, 1) / 1000 for i in range(1, 151)])
    assert tables[0]["training_loss"][0] == tables[1]["training_loss"][0], "both start from the same weights"


@pytest.mark.parametrize("arm", ["decay", "control"])
def test_measures_are_those_of_what_the_run_trains_and_tests_on(arm: str, smoke: tuple[Path, str]) -> None:
    measured, table = read_arms(smoke[0], ARMS), read_table(smoke[0] / arm / "metrics.csv")
    steps, test_loss = measured[f"{arm}_test_loss"]
    assert [float(table["validation_loss"][step - 1]) for step in steps] == pytest.approx(test_loss, rel=1e-6)
    steps, training_loss = measured[f"{arm}_training_loss"]
    after = [float(loss) for loss in table["training_loss"]][1:]
    assert [after[step - 1] for step in steps[:-1]] == pytest.approx(training_loss[:-1], rel=1e-5), (
        "each step trains on all"
    )


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("steps", [3, 12, 38])
def test_a_run_that_was_stopped_in_either_arm_goes_on_to_the_same_bytes(
    steps: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patched:
        stop_after(steps, patched)
        assert stopped_in(folder) == folder
    assert not (folder / "summary.json").exists()
    assert (folder / "control" / LAST).exists() == (steps > 30)
    grokking.main(["--resume", str(folder)])
    assert contents(folder) == contents(whole)


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_was_killed_between_the_arms_goes_on_to_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    shutil.rmtree(folder / "control")
    (folder / "summary.json").unlink()
    grokking.main(["--resume", str(folder)])
    assert contents(folder) == contents(whole)
    assert json.loads((folder / "summary.json").read_text())["seconds"] is None


@pytest.mark.parametrize("left", [["config.json"], ["config.json", "decay"]])
def test_what_was_not_measured_yet_is_not_drawn(left: list[str], whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder, ignore=lambda path, names: set(names) - set(left) if path == str(whole) else [])
    grokking.main(["--plot-only", str(folder)])
    assert (">test, with decay<" in (folder / "grokking.svg").read_text()) == ("decay" in left)
    assert (">with decay<" in (folder / "spectrum.svg").read_text()) == ("decay" in left)
    assert ">before training<" in (folder / "spectrum.svg").read_text()


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


@pytest.mark.usefixtures("undrawn")
def test_a_run_without_control_trains_and_draws_one_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grokking.main([*OPTIONS, "--no-control", "--out", str(tmp_path / "run")])
    printed = capsys.readouterr().out
    assert ": with decay" in printed
    assert ", without" not in printed
    assert not (tmp_path / "run" / "control").exists()
    metrics = [result["metric"] for result in json.loads((tmp_path / "run" / "summary.json").read_text())["results"]]
    assert "test_accuracy" in metrics
    assert "control_test_accuracy" not in metrics


def test_figures_are_drawn_anew_from_the_folder(
    smoke: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(smoke[0], copy, ignore=lambda folder, names: FIGURES)
    grokking.main(["--plot-only", str(copy)])
    assert capsys.readouterr().out == f"figures: {copy / 'grokking.png'} {copy / 'spectrum.png'}\n"
    for name in FIGURES:
        assert (copy / name).read_bytes() == (smoke[0] / name).read_bytes()
    curves = ["test, with decay", "test, without", "training, with decay", "training, without"]
    for name, texts in (
        ("grokking", [*curves, "pairs of which b + a is trained", "nats", "training step"]),
        ("spectrum", ["with decay", "without", "before training", "frequency, periods in p"]),
    ):
        svg = (copy / f"{name}.svg").read_text(encoding="utf-8")
        assert all(f">{text}<" in svg for text in texts)


def test_the_reference_run_is_drawn_behind(
    smoke: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(smoke[0], copy)
    curve = np.array([10, 100]), np.array([0.0, 1.0])
    monkeypatch.setattr(grokking, "reference_curves", lambda script, preset: {"decay_test_accuracy": curve})
    grokking.draw(copy)
    assert ">test, reference run<" in (copy / "grokking.svg").read_text()


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


def test_what_was_published_passes() -> None:
    results = grokking.judge(PRESETS["quick"], as_published())
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
    ],
)
def test_what_falls_short_fails(curve: str, place: Any, value: float, failed: list[str]) -> None:
    measured = as_published()
    measured[curve][1][place] = value
    results = grokking.judge(PRESETS["quick"], measured)
    assert [result.metric for result in results if result.passed is False] == failed


def test_what_never_comes_passes_no_target() -> None:
    measured = as_published()
    for name in ("decay_training_accuracy", "decay_test_accuracy"):
        measured[name][1][:] = 0.5
    results = {result.metric: result for result in grokking.judge(PRESETS["quick"], measured)}
    for name in ("steps_to_memorise", "steps_to_understand"):
        assert math.isnan(results[name].achieved)
        assert results[name].passed is False


def test_only_the_settings_of_the_targets_are_judged_whatever_the_seed() -> None:
    for options, is_judged in (
        ({}, True),
        ({"seed": 7, "threads": 1, "save_every": 10, "out": Path("x")}, True),
        ({"steps": 2199}, False),
        ({"share": 0.4}, False),
        ({"evaluate_every": 10}, False),
    ):
        config = replace(PRESETS["quick"], **options)
        assert any(result.target is not None for result in grokking.judge(config, as_published())) == is_judged


def test_the_paper_preset_has_targets_of_its_own() -> None:
    results = {result.metric: result for result in grokking.judge(PRESETS["paper"], as_published())}
    assert results["steps_to_memorise"].target == 250
    assert results["steps_to_understand"].passed is False
    assert results["control_test_accuracy"].target == pytest.approx(0.4)


@pytest.mark.long
def test_the_quick_preset_reaches_its_targets(tmp_path: Path) -> None:
    assert run("grokking.py", "--seed", "1", "--out", "run", cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["passed"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--warmup", "-1"], "--warmup must be at least 0, got -1"),
        (["--warmup", "2200"], "--warmup 2200 must be less than --steps 2200"),
        (["--weight-decay", "-1"], "--weight-decay must be at least 0, got -1.0"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--evaluate-every", "0"], "--evaluate-every must be at least 1, got 0"),
        (["--save-every", "0"], "--save-every must be at least 1, got 0"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
        (["--threads", "9"], "--threads must be below 9, got 9"),
        (["--modulus", "9"], "--modulus must be at least 11, got 9"),
        (["--modulus", "1001"], "--modulus must be below 1000, got 1001"),
        (["--modulus", "54"], "--modulus must be odd, got 54"),
        (["--share", "0.05"], "--share must be at least 0.1, got 0.05"),
        (["--share", "1"], "--share must be below 1, got 1.0"),
        (["--learning-rate", "0"], "--learning-rate must be above 0, got 0.0"),
        (["--heads", "0"], "--heads must be at least 1, got 0"),
        (["--width", "0"], "--width must be at least 1, got 0"),
        (["--heads", "3"], "--heads 3 does not divide --width 128"),
    ],
)
def test_bad_options_are_one_clear_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    assert refusal("grokking.py", *arguments, cwd=tmp_path) == said


def test_an_arm_that_was_exchanged_is_refused(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    for name, path in (("decay", "kept"), ("control", "decay"), ("kept", "control")):
        (tmp_path / "run" / name).rename(tmp_path / "run" / path)
    result = run("grokking.py", "--resume", "run", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "grokking.py: error: run/decay holds a run of control, not of decay\n"
