import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import ablations
from experiments.ablations import ARMS, BASELINE, PANELS, PRESETS, Ablations, Options
from scratchformer.models import GPTConfig
from scratchformer.recipes.character_model import NANOGPT
from scratchformer.recipes.language_model import language_model
from scratchformer.training import load, read_checkpoint
from tests.experiments.running import run
from tests.experiments.sweeps import arm

FIGURES = ("ablations.png", "ablations.svg")
TABLES = ("measures.csv", "results.csv")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ablations")
    result = run("ablations.py", "--preset", "smoke", "--out", "run", cwd=place)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "figures: run/ablations.png"
    return place / "run"


def test_the_folder_holds_every_run_and_what_they_measured(smoke: Path) -> None:
    arms = PRESETS["smoke"].arms
    assert {path.name for path in smoke.iterdir()} == {*arms, *FIGURES, *TABLES, "config.json", "summary.json"}
    for name in arms:
        assert load(smoke / name / "seed-0").config.norm_first is ARMS[name].get("norm_first", True)
        schedule = read_checkpoint(smoke / name / "seed-0" / "last.safetensors").description["training"]["schedule"]
        assert schedule["warmup_steps"] == (0 if name.endswith("at-once") else 6)
        assert schedule["peak"] == ARMS[name]["learning_rate"]
    summary = json.loads((smoke / "summary.json").read_text())
    assert (summary["experiment"], summary["preset"], summary["passed"]) == ("ablations", "smoke", None)
    assert [result["target"] for result in summary["results"]] == [None]


def test_every_arm_changes_what_its_name_says_and_stands_in_one_panel() -> None:
    shown = [name for labels in PANELS.values() for name in labels if name != BASELINE]
    assert sorted([*shown, BASELINE]) == sorted(ARMS)
    known = NANOGPT
    for name, settings in ARMS.items():
        options = replace(known, **settings)
        options.check()
        changed = {key for key in settings if getattr(options, key) != getattr(known, key)}
        assert changed - {"learning_rate", "final_learning_rate"} == set(ablations.CHANGES[name]), name
    post_norm = {name for name, settings in ARMS.items() if settings.get("norm_first") is False}
    assert post_norm == {"post-norm", "post-norm-at-once"}
    at_once = {name for name, settings in ARMS.items() if settings.get("warmup") == 0}
    assert at_once == {"pre-norm-at-once", "post-norm-at-once"}
    for preset in PRESETS.values():
        preset.check()
        assert Ablations(preset).runs


def test_all_arms_have_nearly_as_many_parameters() -> None:
    sizes = {name: language_model(replace(NANOGPT, **arm), 103).values.size for name, arm in ARMS.items()}
    whole = sizes[BASELINE]
    for name, size in sizes.items():
        lacks_table = name in PANELS["positions"]
        assert abs(size / whole - 1) < (0.011 if lacks_table else 0.006), name
    assert GPTConfig(103, d_model=128, activation="swiglu", num_heads=4).hidden_width == 344


def test_what_helps_is_compared_with_what_lacks_it() -> None:
    found = [arm(name, 2.0) for name in ARMS if name not in ("rotary", "post-norm-at-once", "heads-1")]
    found += [arm("rotary", 1.5, 2.0), arm("post-norm-at-once", math.inf), arm("heads-1", 2.5)]
    results = {
        result.metric: result.achieved
        for result in Ablations(PRESETS["paper"]).compare({arm.name: arm for arm in found})
    }
    assert results["learned_above_rotary_nats"] == 0.25
    assert results["no_positions_above_rotary_nats"] == 0.25
    assert results["one_head_above_four_nats"] == 0.5
    assert results["post_norm_loses_without_warm_up_nats"] == math.inf
    assert results["gelu_above_swiglu_nats"] == 0
    for alone in ("rotary", "none", BASELINE):
        assert Ablations(PRESETS["paper"]).compare({alone: arm(alone, 1.5)}) == []


@pytest.mark.parametrize(
    ("options", "is_judged"),
    [
        (PRESETS["quick"], True),
        (replace(PRESETS["paper"], threads=1), True),
        (replace(PRESETS["paper"], seed=7), False),
        (PRESETS["smoke"], False),
        (replace(PRESETS["paper"], seeds=2), False),
        (replace(PRESETS["paper"], width=64), False),
    ],
)
def test_targets_hold_for_what_they_were_stated_for(options: Options, is_judged: bool) -> None:
    results = Ablations(options).compare({name: arm(name, 2.0) for name in ARMS})
    assert len(results) >= 4
    assert any(result.target is not None for result in results) is is_judged


def test_the_figure_has_a_panel_for_each_comparison_and_names_what_diverged(smoke: Path, tmp_path: Path) -> None:
    arms = {BASELINE: arm(BASELINE, 2.0), "rotary": arm("rotary", 1.0, 1.0), "swiglu": arm("swiglu", math.inf)}
    positions, feed_forward = Ablations.panels(arms, {"alibi": arm("alibi", 1.25)})
    assert (positions.title, feed_forward.title) == ("positions", "feed-forward maps")
    behind, baseline, *_, rotary = positions.lines
    assert (behind.kind, behind.y.tolist()) == ("behind", [2.25, 1.25])
    assert (baseline.name, baseline.kind, baseline.y.tolist()) == ("learned", "reference", [3, 2])
    assert (rotary.name, rotary.y.tolist()) == ("rotary", [2, 1])
    assert [line.name for line in feed_forward.lines] == ["GELU", "SwiGLU"]
    shutil.copy(smoke / "config.json", tmp_path)
    rows = [f"{step},{name}/seed-0,{loss}" for name, loss in (("swiglu", "inf"), ("rotary", 2)) for step in (10, 20)]
    (tmp_path / "measures.csv").write_text("\n".join(["step,measure,value", *rows, ""]))
    Ablations.draw(tmp_path)
    assert "; diverged: swiglu<" in (tmp_path / "ablations.svg").read_text()
