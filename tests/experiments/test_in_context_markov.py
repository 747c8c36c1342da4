"""Sequences, strategies, measures and verdict are what they say, and the model's gradients are right."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments import in_context_markov as markov
from experiments.in_context_markov import ARMS, BEGIN, PRESETS, STRATEGIES, AttentionOnly, InContextMarkov
from scratchformer.layers.trace import NO_TRACE
from scratchformer.recipes.compared_models import read_arms
from scratchformer.runs import read_metrics
from scratchformer.training import LAST, read_checkpoint
from tests.experiments.conftest import SmokeRun
from tests.experiments.running import run
from tests.gradients import check_layer, with_random_values
from tests.text.naive_counting import naive_strategies

MEASURED = ["loss", "from_unigram", "from_bigram", "previous_token", "induction"]
SMALL = replace(PRESETS["smoke"], length=9, width=4, validation=5, tests=6, batch=7)


@pytest.fixture
def smoke(smoke_of: Callable[[str], SmokeRun]) -> Path:
    return smoke_of("in_context_markov").path


def bucket(distance: int) -> int:
    """Distances below 16 have one each, those up to 128 share 16 more, which grow by the same factor."""
    return distance if distance < 16 else 16 + int(16 * math.log(distance / 16) / math.log(128 / 16) + 1e-9)


def naive_model(model: AttentionOnly, ids: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Logits (T, 2) of one short sequence, and the weights of each layer, query by query."""
    values = {name: parameter.value for name, parameter in model.parameters().items()}
    x = np.array([values["embedding.table"][token] for token in ids])
    width, maps = x.shape[1], []
    for i in range(len(model.attentions)):
        query, (key, value) = (
            x @ values[f"attentions.{i}.query.weight"],
            np.split(x @ values[f"attentions.{i}.key_value.weight"], 2, axis=1),
        )
        weights = np.zeros((len(x), len(x)))
        for row in range(len(x)):
            buckets = [bucket(row - column) for column in range(row + 1)]
            biases = AttentionOnly.UNIT * values[f"biases.{i}.table"][buckets, 0]
            scores = np.exp(key[: row + 1] @ query[row] / math.sqrt(width) + biases)
            weights[row, : row + 1] = scores / scores.sum()
        x = x + weights @ value @ values[f"attentions.{i}.output.weight"]
        maps.append(weights)
    return x @ values["head.weight"], maps


@pytest.mark.parametrize(("num_layers", "batch", "width"), [(1, (), 1), (2, (2,), 2)])
def test_every_gradient_of_the_model_is_right(num_layers: int, batch: tuple[int, ...], width: int) -> None:
    generator = np.random.default_rng(width)
    model = AttentionOnly(num_layers, width, generator=generator)
    check_layer(model, generator.integers(3, size=(*batch, 5)), seed=width, scale=0.3)


def test_the_logits_are_those_of_attention_written_out() -> None:
    model = with_random_values(AttentionOnly(2, 6, generator=np.random.default_rng(0)), seed=1, scale=0.4)
    ids = np.random.default_rng(2).integers(3, size=(4, 12))
    logits, _ = model(ids)
    first, second = markov.attention(model, ids)
    for i, row in enumerate(ids):
        expected, maps = naive_model(model, row)
        np.testing.assert_allclose(logits[i], expected, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose([first[i, 0], second[i, 0]], maps, rtol=1e-10, atol=1e-12)


def test_the_arms_start_alike_but_for_their_layers() -> None:
    models = {arm: markov.make_model(arm, PRESETS["quick"]) for arm in ARMS}
    assert [len(model.attentions) for model in models.values()] == [2, 1]
    assert models["two_layers"].values.dtype == np.float32
    for name, parameter in models["two_layers"].parameters().items():
        size, deviation = parameter.value.size, parameter.value.std()
        expected = 1.0 if name.startswith("embedding") else 0.02 if name.startswith("biases") else 0.1
        assert deviation == pytest.approx(expected, rel=3 / math.sqrt(2 * size))


def test_the_loss_is_the_mean_over_all_tokens_but_the_first_and_its_gradient_that_of_the_mean() -> None:
    model = with_random_values(AttentionOnly(1, 4, generator=np.random.default_rng(0)), seed=1, scale=0.3)
    sequences, _ = markov.draw_sequences(SMALL, 1)
    (batch,) = markov.batches_of(sequences, SMALL)
    loss, backward = model.loss(batch.ids, batch.targets, generator=None, trace=NO_TRACE)
    assert loss == pytest.approx(markov.nats(markov.probabilities(model, sequences, SMALL), sequences))
    model.grads[...] = 0
    backward(0.25)
    slopes, step = [], 1e-6
    for i in (0, model.values.size // 2, -1):
        ends = []
        for sign in (1, -1):
            model.values[i] += sign * step
            ends.append(model.loss(batch.ids, batch.targets, generator=None, trace=NO_TRACE)[0])
            model.values[i] -= sign * step
        slopes.append(0.25 * (ends[0] - ends[1]) / (2 * step))
    np.testing.assert_allclose(model.grads[[0, model.values.size // 2, -1]], slopes, rtol=1e-5, atol=1e-10)


def test_every_step_and_every_set_has_sequences_of_its_own() -> None:
    streams = [(0, 0), (0, 1), (1,), (2,)]
    drawn = [markov.draw_sequences(replace(SMALL, batch=6, validation=6), *stream)[0] for stream in streams]
    again = [markov.draw_sequences(replace(SMALL, batch=6, validation=6), *stream)[0] for stream in streams]
    other = [markov.draw_sequences(replace(SMALL, batch=6, validation=6, seed=1), *stream)[0] for stream in streams]
    assert all((first == second).all() for first, second in zip(drawn, again, strict=True))
    different = {sequences.tobytes() for sequences in (*drawn, *other)}
    assert len(different) == 8
    assert [len(markov.draw_sequences(SMALL, *stream)[0]) for stream in streams] == [7, 7, 5, 6]


@pytest.mark.parametrize("beginning", [True, False])
def test_a_batch_asks_for_every_token_but_the_first_from_those_before(beginning: bool) -> None:
    config = replace(SMALL, beginning=beginning, batch=24, tests=70)
    sequences, _ = markov.draw_sequences(config, 2)
    batches = markov.batches_of(sequences, config)
    assert [len(batch.ids) for batch in batches] == [24, 23, 23]
    ids, targets = (np.concatenate([getattr(batch, name) for batch in batches]) for name in ("ids", "targets"))
    for sequence, read, asked in zip(sequences.tolist(), ids.tolist(), targets.tolist(), strict=True):
        assert read == ([BEGIN] if beginning else []) + sequence[:-1]
        assert asked == ([-100] if beginning else []) + sequence[1:]


def test_the_levels_are_those_that_the_help_states() -> None:
    config = replace(PRESETS["quick"], tests=10_000)
    sequences, _ = markov.draw_sequences(config, 2)
    levels = {name: markov.nats(strategy(sequences), sequences) for name, strategy in STRATEGIES.items()}
    assert levels["unigram"] == pytest.approx(0.577, abs=0.006)
    assert levels["bigram"] == pytest.approx(0.511, abs=0.006)
    assert levels["unigram"] - levels["bigram"] == pytest.approx(0.0664, abs=0.003)
    assert "0.693, 0.577 and 0.511" in " ".join(markov.ABOUT.description.split())


def test_nats_are_those_of_what_came() -> None:
    predicted = np.array([[[0.25, 0.75], [0.5, 0.5]]])
    assert markov.nats(predicted, np.array([[0, 1, 0]])) == pytest.approx(-(math.log(0.75) + math.log(0.5)) / 2)


@pytest.mark.parametrize("beginning", [True, False])
def test_what_is_measured_is_what_the_names_say(beginning: bool) -> None:
    config = replace(SMALL, beginning=beginning, batch=16, validation=32)
    sequences, _ = markov.draw_sequences(config, 1)
    model = with_random_values(markov.make_model("two_layers", config), seed=3, scale=0.4)
    found = markov.measure("two_layers", model, sequences, config)
    assert list(found) == [f"two_layers_{name}" for name in MEASURED]
    losses, divergences, previous, same = [], {name: [] for name in STRATEGIES}, [], []
    for number, sequence in enumerate(sequences.tolist()):
        ids = np.array([BEGIN, *sequence[:-1]] if beginning else sequence[:-1])
        logits, (first, second) = naive_model(model, ids)
        by_strategy = naive_strategies(sequence)
        for t in range(1, len(sequence)):
            row = logits[t if beginning else t - 1]
            p = np.exp(row) / np.exp(row).sum()
            losses.append(-math.log(p[sequence[t]]))
            for name, strategy in by_strategy.items():
                s = strategy[t - 1]
                divergences[name].append(sum(s[j] * math.log(s[j] / p[j]) for j in (0, 1)))
        if number < 16:
            rows = range(1, len(ids))
            previous.append(np.mean([first[i, i - 1] for i in rows]))
            sought = {i: [j for j in range(1, i + 1) if ids[j - 1] == ids[i]] for i in rows}
            same.append(np.mean([second[i, columns].sum() for i, columns in sought.items() if columns]))
    assert found["two_layers_loss"] == pytest.approx(np.mean(losses))
    for name, values in divergences.items():
        assert found[f"two_layers_from_{name}"] == pytest.approx(np.mean(values))
    assert found["two_layers_previous_token"] == pytest.approx(np.mean(previous))
    assert found["two_layers_induction"] == pytest.approx(np.mean(same))


def test_a_run_learns_and_shows_what_models_and_counting_predict(smoke_of: Callable[[str], SmokeRun]) -> None:
    smoke, options = smoke_of("in_context_markov"), replace(PRESETS["smoke"], seed=5)
    summary = json.loads((smoke.path / "summary.json").read_text())
    achieved = {result["metric"]: result["achieved"] for result in summary["results"]}
    measured = read_arms(smoke.path, ARMS)
    assert list(measured) == [f"{arm}_{name}" for arm in ARMS for name in MEASURED]
    for steps, _ in measured.values():
        assert steps.tolist() == [*range(10, 61, 10)]
    losses = {arm: measured[f"{arm}_loss"][1] for arm in ARMS}
    for arm in ARMS:
        assert losses[arm][-1] < losses[arm][0] < 0.75
        assert math.isfinite(achieved[f"{arm}_above_optimum_nats"])
    table = smoke.printed[smoke.printed.index("probability that token 24 is b") :].splitlines()[2:8]
    sequences, matrices = markov.draw_sequences(options, 2)
    for i, row in enumerate(table):
        state, chain, unigram, bigram, two, one = row.split()
        assert state == "ab"[sequences[i, -2]]
        assert float(chain) == pytest.approx(matrices[i, sequences[i, -2], 1], abs=6e-4)
        expected = naive_strategies(sequences[i].tolist())
        assert float(unigram) == pytest.approx(expected["unigram"][-1][1], abs=6e-4)
        assert float(bigram) == pytest.approx(expected["bigram"][-1][1], abs=6e-4)
        for arm, said in zip(ARMS, (two, one), strict=True):
            model = markov.load(smoke.path / arm / LAST, markov.make_model(arm, options))
            p = markov.probabilities(model, sequences, options)
            assert float(said) == pytest.approx(p[i, -1, 1], abs=6e-4)
            above = markov.nats(p, sequences) - markov.nats(STRATEGIES["bigram"](sequences), sequences)
            assert achieved[f"{arm}_above_optimum_nats"] == pytest.approx(above, abs=1e-6)


def test_the_recorded_loss_is_the_measured_one(smoke: Path) -> None:
    for arm in ARMS:
        recorded = read_metrics(smoke / arm / "metrics.csv")["validation_loss"]
        steps, losses = read_arms(smoke, ARMS)[f"{arm}_loss"]
        assert recorded[0].tolist() == steps.tolist()
        np.testing.assert_allclose(recorded[1], losses, rtol=1e-5)


def test_each_step_of_both_arms_learns_from_sequences_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    streams, draw_sequences = [], markov.draw_sequences
    monkeypatch.setattr(markov, "draw_sequences", lambda *given: streams.append(given[1:]) or draw_sequences(*given))
    for training in InContextMarkov(SMALL).trainings.values():
        assert [len(batch.ids) for step in range(3) for batch in training.batches(step)] == [7, 7, 7]
    assert [stream for stream in streams if stream[0] == 0] == [(0, 0), (0, 1), (0, 2)] * 2


def test_the_arms_differ_by_their_layers_alone(smoke: Path) -> None:
    two, one = (read_checkpoint(smoke / arm / LAST) for arm in ARMS)
    assert two.description["training"] == one.description["training"]
    layers = [
        {name.split(".")[2] for name in part.tensors if name.startswith("model.attentions.")} for part in (two, one)
    ]
    assert layers == [{"0", "1"}, {"0"}]


@pytest.mark.usefixtures("without_pixels")
@pytest.mark.parametrize("left", [["config.json"], ["config.json", "two_layers"], ["config.json", *ARMS]])
def test_what_was_measured_is_drawn(
    left: list[str], smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(smoke, folder, ignore=lambda path, names: set(names) - set(left) if path == str(smoke) else [])
    monkeypatch.setattr(markov, "attention_maps", lambda *arguments, **options: Figure())
    InContextMarkov.draw(folder)
    assert (folder / "attention.svg").exists() == ("two_layers" in left)
    validation, _ = markov.draw_sequences(replace(PRESETS["smoke"], seed=5), 1)
    levels = [f"{name} {markov.nats(strategy(validation), validation):.3f}" for name, strategy in STRATEGIES.items()]
    always = dict.fromkeys(["uniform 0.693", *levels, "loss, nats per token"], "config.json")
    stages = ["unigrams", "bigrams", "layer 1: token before", "layer 2: after same state"]
    for name, texts in (
        ("loss", always | {"two layers": "two_layers", "one layer": "one_layer"}),
        ("stages", dict.fromkeys(stages, "two_layers") | {"share of attention": "config.json"}),
    ):
        svg = (folder / f"{name}.svg").read_text(encoding="utf-8")
        for text, source in texts.items():
            assert (f">{text}<" in svg) == (source in left)


def test_the_drawn_example_holds_every_transition_and_the_weights_before_and_after(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    svg = (smoke / "attention.svg").read_text(encoding="utf-8")
    assert all(f">{text}<" in svg for text in ("before training", "after training", "begin", "layer 2"))
    drawn = []
    monkeypatch.setattr(markov, "attention_maps", lambda *arguments, **options: drawn.append((arguments, options)))
    monkeypatch.setattr(markov, "save_figure", lambda figure, path: path)
    config = replace(PRESETS["smoke"], seed=5)
    markov.draw_attention(smoke, config, markov.draw_sequences(config, 1)[0])
    (weights, queries, keys), options = drawn[0]
    assert queries[0] == keys[0] == "begin"
    assert keys[1:] == [f"{before}→{name}" for before, name in pairwise(queries)]
    assert {"a→a", "a→b", "b→a", "b→b"} <= set(keys)
    assert weights.shape == (2, 2, len(queries), len(queries))
    ids = np.array([BEGIN, *("ab".index(name) for name in queries[1:])])
    trained = markov.load(smoke / "two_layers" / LAST, markov.make_model("two_layers", config))
    for column, model in enumerate((markov.make_model("two_layers", config), trained)):
        np.testing.assert_allclose(weights[:, column], naive_model(model, ids)[1], atol=1e-5)
    assert (options["allowed"] == np.tri(len(ids), dtype=bool)).all()


class FOLDER:
    """In the place of a run folder, whose measures the tests invent."""

    path = Path("nowhere")


def judged(
    two: float, one: float, losses: list[float], monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[list[tuple[str, float]], list[bool | None]]:
    """What is said of models that are so far above the optimum, with losses above the unigrams' at every tenth step."""
    monkeypatch.setitem(PRESETS, "quick", replace(PRESETS["quick"], tests=50))
    experiment = InContextMarkov(replace(PRESETS["quick"], **options))
    unigrams = markov.nats(STRATEGIES["unigram"](experiment.validation), experiment.validation)
    curve = np.arange(len(losses)), np.array(losses) + unigrams
    above = {2: two, 1: one}

    def probabilities(model: AttentionOnly, sequences: np.ndarray, options: Any) -> np.ndarray:
        return STRATEGIES["bigram"](sequences) * math.exp(-above[len(model.attentions)])

    monkeypatch.setattr(markov, "read_arms", lambda path, arms: {"two_layers_loss": curve})
    monkeypatch.setattr(markov, "probabilities", probabilities)
    monkeypatch.setattr(markov, "print_predictions", lambda *given: None)
    results = experiment.judge(FOLDER)
    return [(result.metric, result.achieved) for result in results], [result.passed for result in results]


def test_what_was_published_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    found, passed = judged(0.0099, 0.0301, [0.2, 0.0199, -0.0199, 0.01, 0.0, -0.01, -0.03], monkeypatch)
    assert passed == [True, True, True]
    assert found[0] == ("two_layers_above_optimum_nats", pytest.approx(0.0099))
    assert found[1] == ("one_layer_above_optimum_nats", pytest.approx(0.0301))
    assert found[2] == ("steps_within_0.02_of_unigrams", 100)


@pytest.mark.parametrize(
    ("two", "one", "losses", "expected"),
    [
        (0.0101, 0.04, [0.0] * 10, [False, True, True]),
        (0.005, 0.0299, [0.0] * 10, [True, False, True]),
        (0.005, 0.04, [0.2, 0.0201, *[0.0] * 4, -0.0201], [True, True, False]),
    ],
)
def test_what_falls_short_fails(
    two: float, one: float, losses: list[float], expected: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judged(two, one, losses, monkeypatch)[1] == expected


@pytest.mark.parametrize(
    ("options", "is_judged"),
    [
        ({"seed": 7, "threads": 1, "save_every": 10, "out": Path("x")}, True),
        *(({name: value}, False) for name, value in (("steps", 1999), ("beginning", False), ("evaluate_every", 10))),
    ],
)
def test_only_the_settings_of_the_targets_are_judged_whatever_the_seed(
    options: dict[str, Any], is_judged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judged(0.0, 0.04, [0.0] * 10, monkeypatch, **options)[1] == [True if is_judged else None] * 3


@pytest.mark.long
def test_the_quick_preset_reaches_its_targets(tmp_path: Path) -> None:
    assert run("in_context_markov.py", "--seed", "1", "--out", "run", cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["passed"]
