import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import optimizers
from experiments.optimizers import ARMS, PRESETS, Optimizers, by_optimizer, finals, rates
from scratchformer.recipes import char_lm_arms
from scratchformer.recipes.char_lm_arms import ArmOptions
from scratchformer.runs import Result
from scratchformer.training import load, read_checkpoint
from tests.experiments.running import refusal, run
from tests.experiments.sweeps import arm

ARMS_OF_SMOKE = ("momentum-0.1", "adam-0.003")
FIGURES = ("optimizers.png", "optimizers.svg")
TABLES = ("measures.csv", "results.csv")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("optimizers")
    result = run("optimizers.py", "--preset", "smoke", "--out", "run", cwd=place)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert (
        sum("char_lm.py" in line and f"--out run/{arm}/seed-0" in line for line in lines for arm in ARMS_OF_SMOKE) == 2
    )
    assert any(line.startswith("adam_below_descent_nats ") for line in lines)
    assert lines[-1] == "figures: run/optimizers.png"
    return place / "run"


def test_the_folder_holds_every_run_and_what_they_measured(smoke: Path) -> None:
    assert {path.name for path in smoke.iterdir()} == {*ARMS_OF_SMOKE, *FIGURES, *TABLES, "config.json", "summary.json"}
    summary = json.loads((smoke / "summary.json").read_text())
    assert (summary["experiment"], summary["preset"], summary["passed"]) == ("optimizers", "smoke", None)
    found = {result["metric"]: result["achieved"] for result in summary["results"]}
    for name in ARMS_OF_SMOKE:
        (of_run,) = json.loads((smoke / name / "seed-0" / "summary.json").read_text())["results"]
        assert found[f"{name.partition('-')[0]}_loss_nats"] == of_run["achieved"]
    assert found["adam_below_descent_nats"] == found["momentum_loss_nats"] - found["adam_loss_nats"]
    for name, kind in zip(ARMS_OF_SMOKE, ("SGD", "Adam"), strict=True):
        training = read_checkpoint(smoke / name / "seed-0" / "last.safetensors").description["training"]
        assert training["optimizer"]["type"] == kind
        assert training["schedule"]["peak"] == float(name.partition("-")[2])
        assert training["schedule"]["floor"] == pytest.approx(training["schedule"]["peak"] / 10)
        assert load(smoke / name / "seed-0").config.d_model == 16


def test_an_interrupted_sweep_goes_on_to_the_same_bytes_and_draws_anew(smoke: Path, tmp_path: Path) -> None:
    shutil.copytree(smoke, tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "adam-0.003")
    for name in (*FIGURES, *TABLES, "summary.json", "momentum-0.1/seed-0/summary.json"):
        (tmp_path / "cut" / name).unlink()
    result = run("optimizers.py", "--resume", "cut", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "char_lm.py" in result.stdout
    assert "--resume cut/momentum-0.1/seed-0" in result.stdout
    assert "--out cut/adam-0.003/seed-0" in result.stdout
    for name in (*FIGURES, *TABLES, *(f"{one}/seed-0/last.safetensors" for one in ARMS_OF_SMOKE)):
        assert (tmp_path / "cut" / name).read_bytes() == (smoke / name).read_bytes(), name
    assert json.loads((tmp_path / "cut" / "summary.json").read_text())["seconds"] is None

    for name in FIGURES:
        (tmp_path / "cut" / name).unlink()
    for name in ARMS_OF_SMOKE:
        shutil.rmtree(tmp_path / "cut" / name)
    result = run("optimizers.py", "--plot-only", "cut", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "figures: cut/optimizers.png\n")
    for name in FIGURES:
        assert (tmp_path / "cut" / name).read_bytes() == (smoke / name).read_bytes(), name


def test_all_optimizers_have_rates_around_their_best_and_presets_are_among_them() -> None:
    assert {settings["optimizer"] for settings in ARMS.values()} == {"sgd", "momentum", "adam", "adamw"}
    for settings in ARMS.values():
        assert settings["final_learning_rate"] == pytest.approx(settings["learning_rate"] / 10)
    assert len(PRESETS["paper"].runs(ARMS)) == 3 * len(ARMS)
    for preset in PRESETS.values():
        preset.check()
        assert Optimizers(preset).runs
    assert len(PRESETS["quick"].runs(ARMS)) == 2


def test_the_best_of_all_rates_are_compared() -> None:
    found = [
        arm("sgd-1", 2.75),
        arm("momentum-0.3", 2.25, 2.75),
        arm("momentum-0.1", 2.5, 2.25),
        arm("adam-0.001", 2.0),
    ]
    found += [arm("adam-0.003", math.inf), arm("adamw-0.001", 1.5)]
    results = Optimizers(PRESETS["paper"]).compare({arm.name: arm for arm in found})
    losses = {"sgd": 2.75, "momentum": 2.375, "adam": 2.0, "adamw": 1.5}
    assert results == [
        *(Result(f"{name}_loss_nats", loss, None) for name, loss in losses.items()),
        Result("adam_below_descent_nats", 0.375, 0.1, "higher"),
    ]


@pytest.mark.parametrize(
    ("options", "target"),
    [
        (PRESETS["quick"], 0.1),
        (replace(PRESETS["paper"], seed=7, threads=1), 0.1),
        (PRESETS["smoke"], None),
        (replace(PRESETS["paper"], steps=599), None),
        (replace(PRESETS["paper"], arms=("sgd-1", "adam-0.001")), None),
    ],
)
def test_the_target_holds_for_what_it_was_stated_for(options: ArmOptions, target: float | None) -> None:
    results = Optimizers(options).compare({name: arm(name, 2.0) for name in ("sgd-1", "adam-0.001")})
    assert results[-1].target == target


def test_without_a_pair_nothing_is_compared() -> None:
    assert [result.metric for result in Optimizers(PRESETS["paper"]).compare({"sgd-1": arm("sgd-1", 2.0)})] == [
        "sgd_loss_nats"
    ]
    results = Optimizers(PRESETS["paper"]).compare(
        {"adam-0.001": arm("adam-0.001", 2.0), "adamw-0.001": arm("adamw-0.001", 2.0)}
    )
    assert [result.metric for result in results] == ["adam_loss_nats", "adamw_loss_nats"]


def test_arms_are_put_in_order() -> None:
    names = ["adam-0.003", "momentum-0.3", "adam-0.001", "sgd-10", "sgd-0.3"]
    grouped = by_optimizer({name: arm(name, *range(2)) for name in names})
    assert {name: [one.name for one in group] for name, group in grouped.items()} == {
        "sgd": ["sgd-0.3", "sgd-10"],
        "momentum": ["momentum-0.3"],
        "adam": ["adam-0.001", "adam-0.003"],
    }
    np.testing.assert_array_equal(rates(grouped["adam"]), [0.001, 0.003])
    np.testing.assert_array_equal(finals([arm("adam-0.001", 1, 2), arm("adam-0.003", 3, 4)]), [[1, 3], [2, 4]])


def test_the_figure_shows_best_arms_and_the_reference_behind_them() -> None:
    last = {"adam-0.001": 2, "adam-0.003": 1, "adam-0.01": math.inf, "sgd-1": 3}
    arms = {name: arm(name, loss, loss) for name, loss in last.items()}
    by_step, by_rate = Optimizers.panels(arms, {"adam-0.003": arm("adam-0.003", 1.25)})
    behind, *_, sgd, adam = (line for line in by_step.lines if line.kind != "bound")
    assert (behind.kind, behind.y.tolist()) == ("behind", [2.25, 1.25])
    assert (sgd.name, sgd.y.tolist()) == ("SGD", [4, 3])
    assert (adam.name, adam.y.tolist()) == ("Adam", [2, 1])
    behind, *_, adam = (line for line in by_rate.lines if line.kind != "bound")
    assert (behind.x.tolist(), behind.y.tolist()) == ([0.003], [1.25])
    assert (adam.x.tolist(), adam.y.tolist()) == ([0.001, 0.003, 0.01], [2, 1, math.inf])


@pytest.mark.usefixtures("without_pixels")
def test_the_figure_is_drawn_over_the_reference_run_of_the_script(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config.json", "measures.csv"):
        shutil.copy(smoke / name, tmp_path)
    asked, drawn, draw = [], [], char_lm_arms.line_panels
    reference = {"adam-0.003": arm("adam-0.003", 1.25)}
    monkeypatch.setattr(char_lm_arms, "reference_arms", lambda *given: asked.append(given) or reference)
    monkeypatch.setattr(
        char_lm_arms, "line_panels", lambda panels, **look: drawn.append((panels, look)) or draw(panels, **look)
    )
    Optimizers.draw(tmp_path)
    ((script, options, paper),) = asked
    assert (script, options["preset"], paper) == (optimizers.__file__, "smoke", PRESETS["paper"])
    ((panels, look),) = drawn
    assert [panel.lines[0].kind for panel in panels] == ["behind", "behind"]
    assert look == {"columns": 2, "share_y": True, "title": "The character model with four optimizers"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--arms", "adam-1", "sgd-1"], f"--arms adam-1 is none of {', '.join(ARMS)}"),
        (["--learning-rate", "1"], "unknown option --learning-rate; --help lists the options"),
    ],
)
def test_bad_input_is_one_clear_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    assert refusal("optimizers.py", *arguments, cwd=tmp_path) == said
