"""What all experiments do alike: their help, refusals, run folders and figures, and how they are resumed."""

import ast
import gc
import importlib
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments import EXPERIMENTS, Experiment, reverse
from scratchformer.recipes import lesson
from scratchformer.recipes.experiment import Experiment as Frame
from scratchformer.runs import options_of, places_of
from scratchformer.runs.ranges import option_name
from tests.experiments.conftest import SmokeRun
from tests.experiments.running import EXPERIMENTS as FOLDER
from tests.experiments.running import LESSON, kill_in_step, refusal, repeated, run

EXPLAINED = {
    "attention_walkthrough": "Seed of all that is drawn at random.",
    "scaling": "Keys that a query chooses among: n.",
    "sort": "Updates between checkpoints.",
    "addition": "ones first, or hundreds first",
    "reverse": "Hypotheses that the beam search keeps",
    "dates": "Hypotheses that the beam search keeps",
    "grokking": "bit for bit, from its last checkpoint",
    "in_context_markov": "bit for bit, from its last checkpoint",
    "char_lm": "How many characters to sample after training.",
    "masked_lm": "bit for bit, from its last checkpoint",
    "attention_heads": "Jensen-Shannon divergence",
    "optimizers": "Runs at a time",
    "ablations": "Runs at a time",
}

PICTURES = {
    "sort": ("sorted", "loss", "norms", "attention"),
    "addition": ("added", "loss", "norms"),
    "reverse": ("loss", "norms", "attention"),
    "dates": ("loss", "norms", "attention"),
    "grokking": ("grokking", "spectrum"),
    "in_context_markov": ("loss", "stages", "attention"),
    "char_lm": ("loss", "norms", "attention"),
    "masked_lm": ("loss", "norms"),
}
"""The figures of all experiments that train, in the order in which they are drawn."""
OF_A_TRAINING = {"config.json", "metrics.csv", "norms.csv", "best.safetensors", "last.safetensors"}
TABLES = {
    "sort": {"measures.csv"},
    "addition": {"measures.csv"},
    "reverse": {"tests.csv", "attention.csv"},
    "dates": {"tests.csv", "attention.csv"},
    "char_lm": {"sample.txt"},
    "masked_lm": set(),
}
"""What else is in the folder of a run that trains one model."""
ARMS = {"grokking": ("decay", "control"), "in_context_markov": ("two_layers", "one_layer")}
TINY = {
    "sort": "--width 6 --batch 4 --dropout 0.2 --average 0.5",
    "addition": "--width 4 --batch 4 --dropout 0.2 --average 0.5 --warmup 1",
    "reverse": "--width 8 --heads 2 --batch 4 --dropout 0.2 --average 0.5 --tests 3",
    "dates": "--width 8 --heads 2 --batch 4 --dropout 0.2 --average 0.5 --tests 3",
    "grokking": "--warmup 1",
    "in_context_markov": "--length 8 --width 4 --warmup 1 --validation 8 --tests 8",
    "char_lm": "--layers 1 --width 8 --warmup 1 --dropout 0.1 --accumulate 2 --evaluation-batches 2 --no-figures",
    "masked_lm": "--width 8 --dropout 0.1 --average 0.5 --warmup 1 --evaluation-batches 2",
}
"""Options of a run of 8 steps, beside the preset smoke."""
OUT_OF_RANGE = [
    *((name, -1, "at least 0") for name in ("seed", "warmup", "sample")),
    *((name, 0, "at least 1") for name in ("threads", "layers", "heads", "width", "context", "steps", "batch")),
    *((name, 0, "at least 1") for name in ("accumulate", "evaluate_every", "save_every", "evaluation_batches")),
    *((name, 0, "at least 1") for name in ("beam", "tests", "validation", "top_k", "seeds")),
    *((name, 0.0, "above 0") for name in ("learning_rate", "clip", "rate_factor", "temperature")),
    *((name, math.nan, "above 0") for name in ("learning_rate", "clip")),
    *((name, math.inf, "below inf") for name in ("weight_decay", "final_learning_rate", "rate_factor")),
    *((name, -0.5, "at least 0") for name in ("weight_decay", "final_learning_rate", "label_smoothing")),
    *((name, 1.0, "below 1") for name in ("dropout", "average", "label_smoothing", "warmup_share")),
    ("betas", (0.9, 1.0), "below 1"),
    ("length", 3, "at least 4"),
    ("modulus", 9, "at least 11"),
    ("modulus", 1001, "below 1000"),
]
BY_SCRIPT = [
    ("reverse", {"warmup": 0}, "--warmup must be at least 1, got 0"),
    ("grokking", {"threads": 9}, "--threads must be below 9, got 9"),
    ("grokking", {"modulus": 54}, "--modulus must be odd, got 54"),
    ("grokking", {"share": 0.05}, "--share must be at least 0.1, got 0.05"),
    ("grokking", {"share": 1.0}, "--share must be below 1, got 1.0"),
    ("masked_lm", {"share": 0.0}, "--share must be above 0, got 0.0"),
    ("masked_lm", {"share": 1.5}, "--share must be at most 1, got 1.5"),
    ("char_lm", {"attention_text": "x" * 41}, "--attention-text has 41 characters, at most 40 are drawn"),
]


def scripts(*chosen: Experiment) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("experiment", chosen, ids=[experiment.name for experiment in chosen])


every_script = scripts(*EXPERIMENTS)
every_training = pytest.mark.parametrize("name", PICTURES)


def all_of_which_few_are_quick(*quick: str, without: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Every training, but those that are not quick in the long profile alone: they share nearly all that is tested."""
    names = [name for name in PICTURES if name not in without]
    marked = [name if name in quick else pytest.param(name, marks=pytest.mark.long) for name in names]
    return pytest.mark.parametrize("name", marked)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """With folders that are no runs: of other files, with a config.json of something else, and of another program."""
    for folder, file, content in (
        ("full", "results", ""),
        ("other", "config.json", "[]"),
        ("foreign", "config.json", '{"experiment": "chess", "options": {"width": 32}, "places": {}}'),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text(content)
    return tmp_path


def question_and_fields(name: str) -> tuple[str, dict[str, Any]]:
    """Of the lesson, which cannot be imported without running it, the question that its docstring asks."""
    if f"{name}.py" == LESSON:
        docstring = ast.get_docstring(ast.parse((FOLDER / LESSON).read_text(encoding="utf-8")))
        return " ".join(docstring.partition("\n\n")[0].split()), vars(lesson.PRESETS["quick"])
    module = importlib.import_module(f"experiments.{name}")
    return module.ABOUT.question, vars(module.PRESETS["quick"])


@every_script
def test_the_help_asks_the_question_and_explains_every_option(experiment: Experiment, tmp_path: Path) -> None:
    script = f"{experiment.name}.py"
    result = run(script, "--help", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    said = " ".join(result.stdout.replace("│", " ").split())
    question, fields = question_and_fields(experiment.name)
    assert question in said
    for option in [option_name(field) for field in fields if field != "run"]:  # which is typed without a name
        assert re.search(f"{option}[ ,]", said), option
    assert said.count("(default: ") == sum(value not in (None, ()) for value in fields.values())
    assert EXPLAINED[experiment.name] in said


@every_script
def test_a_folder_that_is_not_empty_is_left_alone(experiment: Experiment, place: Path) -> None:
    arguments = ["--preset", "smoke", "--out", "full"]  # of this preset attention_heads.py needs no run to look into
    said = refusal(f"{experiment.name}.py", *arguments, cwd=place)
    assert said == "run folder full is not empty; choose another, nothing was overwritten"


@every_script
def test_a_seed_is_not_negative(experiment: Experiment, place: Path) -> None:
    said = refusal(f"{experiment.name}.py", "--seed", "-1", cwd=place)
    assert said == "--seed must be at least 0, got -1"


@every_script
def test_a_mistyped_option_is_named_with_the_one_that_was_meant(experiment: Experiment, place: Path) -> None:
    said = refusal(f"{experiment.name}.py", "--sed", "1", cwd=place)
    assert said == "unknown option --sed; did you mean --seed?"


@scripts(*(experiment for experiment in EXPERIMENTS if experiment.can_resume))
@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("full", "there is no run to go on with, it holds no config.json"),
        ("other", "its config.json is not of this program in this version: options is None, expected options by name"),
        ("foreign", "its config.json is not of this program in this version: the option "),
    ],
)
def test_only_a_run_of_the_script_goes_on(experiment: Experiment, folder: str, reason: str, place: Path) -> None:
    said = refusal(f"{experiment.name}.py", "--resume", folder, cwd=place)
    assert said.startswith(f"--resume {folder}: {reason}")


@every_script
@pytest.mark.parametrize("folder", ["full", "nowhere"])
def test_what_figures_are_drawn_from_must_be_there(experiment: Experiment, folder: str, place: Path) -> None:
    script = f"{experiment.name}.py"
    missing = "figures.json" if script == LESSON else "config.json"
    said = refusal(script, "--plot-only", folder, cwd=place)
    assert said == f"{folder}/{missing} cannot be read: No such file or directory"


@scripts(*(experiment for experiment in EXPERIMENTS if f"{experiment.name}.py" != LESSON))
def test_figures_are_drawn_of_runs_of_the_script_only(experiment: Experiment, place: Path) -> None:
    script = f"{experiment.name}.py"
    said = refusal(script, "--plot-only", "other", cwd=place)
    assert said == "other is not a run folder of this program: its config.json holds no settings by name"
    said = refusal(script, "--plot-only", "foreign", cwd=place)
    assert said == f"foreign holds a run of chess, not of {experiment.name}"


def test_a_run_of_another_script_with_the_same_options_does_not_go_on(tmp_path: Path) -> None:
    config = {"experiment": "reverse", "options": options_of(reverse.PRESETS["smoke"])}
    config["places"] = places_of(reverse.PRESETS["smoke"])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    said = refusal("dates.py", "--resume", "run", cwd=tmp_path)
    assert said == "run holds a run of reverse, not of dates"


def presets_of(name: str) -> dict[str, Any]:
    return importlib.import_module(f"experiments.{name}").PRESETS


@pytest.mark.parametrize("name", [*PICTURES, "optimizers", "ablations"])
def test_an_option_out_of_its_range_is_one_clear_sentence(name: str) -> None:
    options = presets_of(name)["quick"]
    own = [row for row in OUT_OF_RANGE if hasattr(options, row[0])]
    pairs = [({field: value}, f"{option_name(field)} must be {words}, got {value}") for field, value, words in own]
    assert len(pairs) >= 8
    if hasattr(options, "heads"):
        pairs.append(({"heads": 7}, f"--heads 7 does not divide --width {options.width}"))
    for changed, said in [*pairs, *((changed, said) for script, changed, said in BY_SCRIPT if script == name)]:
        with pytest.raises(ValueError, match=r"^--") as error:
            replace(options, **changed).check()
        expected = said.replace("(0.9, 1.0)", "1.0")
        if name in ("reverse", "dates") and changed == {"warmup": -1}:
            expected = "--warmup must be at least 1, got -1"
        assert str(error.value) == expected


@every_training
def test_a_run_has_as_many_sequences_as_threads_and_a_peak_of_its_learning_rate(name: str) -> None:
    options = presets_of(name)["smoke"]
    options.check()
    if hasattr(options, "batch"):
        with pytest.raises(ValueError, match=r"^--threads 65 is more than --batch 64; each takes a sequence$"):
            replace(options, threads=65, batch=64).check()
    if name not in ("reverse", "dates"):  # whose learning rate has its peak when the warm-up ends, if it ever does
        with pytest.raises(ValueError, match=r"^--warmup 9 must be less than --steps 9$"):
            replace(options, warmup=9, steps=9).check()


@all_of_which_few_are_quick("reverse", "grokking", "char_lm")
def test_a_run_folder_holds_everything(name: str, smoke_of: Callable[[str], SmokeRun]) -> None:
    run = smoke_of(name)
    drawn = {f"{picture}.{suffix}" for picture in PICTURES[name] for suffix in ("png", "svg")}
    own = {"config.json", *ARMS[name]} if name in ARMS else OF_A_TRAINING | TABLES[name]
    assert {path.name for path in run.path.iterdir()} == drawn | own | {"summary.json"}
    for arm in ARMS.get(name, ()):
        assert {path.name for path in (run.path / arm).iterdir()} == OF_A_TRAINING | {"measures.csv"}
    summary = json.loads((run.path / "summary.json").read_text())
    assert (summary["experiment"], summary["preset"], summary["seed"], summary["passed"]) == (name, "smoke", 5, None)
    assert summary["picture"] in drawn
    assert summary["seconds"] > 0
    assert all(result["target"] is None for result in summary["results"])


@all_of_which_few_are_quick("grokking", "char_lm")
def test_figures_are_drawn_anew_from_the_folder_alone(
    name: str, smoke_of: Callable[[str], SmokeRun], tmp_path: Path
) -> None:
    smoke = smoke_of(name).path
    drawn = [f"{picture}.{suffix}" for picture in PICTURES[name] for suffix in ("png", "svg")]
    shutil.copytree(smoke, tmp_path / "copy", ignore=lambda folder, names: {*drawn, "tests.csv", "summary.json"})
    result = run(f"{name}.py", "--plot-only", "copy", cwd=tmp_path)
    assert result.stdout == f"figures: {' '.join(f'copy/{picture}.png' for picture in PICTURES[name])}\n"
    assert smoke_of(name).printed.endswith(result.stdout.replace("copy/", "run/"))
    for file in drawn:
        assert (tmp_path / "copy" / file).read_bytes() == (smoke / file).read_bytes()


@pytest.mark.usefixtures("without_pixels")
@all_of_which_few_are_quick("reverse", "grokking", without=("char_lm", "masked_lm"))
def test_the_reference_run_is_drawn_behind_but_not_for_smoke(
    name: str, smoke_of: Callable[[str], SmokeRun], tmp_path: Path
) -> None:
    smoke = smoke_of(name).path
    shutil.copytree(smoke, tmp_path / "copy")
    config = json.loads((smoke / "config.json").read_text())
    config["options"]["preset"] = "quick"
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config))
    for path in smoke.rglob("*.safetensors"):  # a run that was killed before it saved draws what it can
        (tmp_path / "copy" / path.relative_to(smoke)).unlink()
    (tmp_path / "copy" / "attention.csv").unlink(missing_ok=True)
    result = run(f"{name}.py", "--plot-only", "copy", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert ("attention.png" in result.stdout) is False
    for place, is_behind in ((smoke, False), (tmp_path / "copy", True)):
        texts = [path.read_text(encoding="utf-8") for path in place.glob("*.svg")]
        assert any("reference run<" in text for text in texts) == is_behind


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the figures out of a run: they take longer than it does."""
    monkeypatch.setattr(Frame, "draw_for", classmethod(lambda cls, options, path: []))


@pytest.mark.usefixtures("undrawn")
@all_of_which_few_are_quick("grokking", "masked_lm")
def test_a_run_that_was_killed_goes_on_to_the_same_bytes_and_another_seed_to_others(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"{name}.py"
    options = ["--preset", "smoke", "--steps", "8", "--evaluate-every", "2", "--save-every", "3", *TINY[name].split()]
    assert run(script, *options, "--out", "whole", cwd=tmp_path).returncode == 0
    whole = repeated(tmp_path / "whole")
    for killed_in in (6, 14) if name in ARMS else (6,):
        with monkeypatch.context() as patched:
            kill_in_step(killed_in, patched)
            with pytest.raises(KeyboardInterrupt):
                run(script, *options, "--out", f"killed-{killed_in}", cwd=tmp_path)
        gc.collect()  # as at the end of the process, which gives its folder back
        result = run(script, "--resume", f"killed-{killed_in}", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert (name in ARMS) or "\nit goes on after step 3 of 8\n" in result.stdout
        assert repeated(tmp_path / f"killed-{killed_in}") == whole
        summaries = [json.loads((tmp_path / f / "summary.json").read_text()) for f in (f"killed-{killed_in}", "whole")]
        assert summaries[0] == summaries[1] | {"seconds": None}
    assert run(script, *options, "--seed", "1", "--out", "other", cwd=tmp_path).returncode == 0
    other = repeated(tmp_path / "other")
    for file in whole:
        if file.endswith(("metrics.csv", "best.safetensors")):
            assert other[file] != whole[file]


def test_a_module_that_is_no_script_says_so() -> None:
    others = ("__init__.py", "__main__.py", "against.py", "curves.py", "fresh_process.py", "ranks.py")
    modules = [path for path in FOLDER.glob("*/*.py") if path.name not in others]
    assert len(modules) > 10
    for path in modules:
        _, only_import, guard, *_ = ast.parse(path.read_text(encoding="utf-8")).body
        assert ast.unparse(only_import) == "import sys", path
        assert ast.unparse(guard).startswith("if __name__ == '__main__'"), path
    command = [sys.executable, "-S", FOLDER / "weights" / "measure.py"]  # without packages that its imports need
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "measure.py is no script; run python -m experiments.weights\n"


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("", "experiments"),
        ("collect.py", "experiments.collect"),
        ("scaling_out", "experiments.scaling_out"),
        ("speed", "experiments.speed"),
        ("speed/against.py", "experiments.speed.against"),
        ("speedrun/curves.py", "experiments.speedrun.curves"),
    ],
)
def test_what_is_started_with_m_says_so_where_it_is_started_as_a_file(file: str, module: str) -> None:
    result = subprocess.run([sys.executable, FOLDER / file], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, f"this is no script; run python -m {module}\n")
