"""What all experiments say alike: their help, and what is wrong with a folder or an option."""

import ast
import importlib
import json
import re
from pathlib import Path

import pytest

from experiments import EXPERIMENTS, Experiment, reverse
from scratchformer.runs import options_of, places_of
from scratchformer.runs.command_line import option_name
from tests.experiments.running import EXPERIMENTS as FOLDER
from tests.experiments.running import LESSON, refusal, run

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


def scripts(*chosen: Experiment) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("experiment", chosen, ids=[experiment.name for experiment in chosen])


every_script = scripts(*EXPERIMENTS)


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


def question_and_fields(name: str) -> tuple[str, list[str]]:
    """Of the lesson, which cannot be imported without running it, the question that its docstring asks."""
    if f"{name}.py" == LESSON:
        docstring = ast.get_docstring(ast.parse((FOLDER / LESSON).read_text(encoding="utf-8")))
        return " ".join(docstring.partition("\n\n")[0].split()), ["preset", "out", "plot_only", "seed"]
    module = importlib.import_module(f"experiments.{name}")
    return module.ABOUT.question, list(vars(module.PRESETS["quick"]))


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
    assert said.count("(default: ") == len(fields)
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
        ("other", "its config.json is not of this program in this version"),
        ("foreign", "its config.json is not of this program in this version"),
    ],
)
def test_only_a_run_of_the_script_goes_on(experiment: Experiment, folder: str, reason: str, place: Path) -> None:
    said = refusal(f"{experiment.name}.py", "--resume", folder, cwd=place)
    assert said == f"--resume {folder}: {reason}"


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
    assert refusal(script, "--plot-only", "other", cwd=place) == "other is not a run folder of this program"
    said = refusal(script, "--plot-only", "foreign", cwd=place)
    assert said == f"foreign holds a run of chess, not of {experiment.name}"


def test_a_run_of_another_script_with_the_same_options_does_not_go_on(tmp_path: Path) -> None:
    config = {"experiment": "reverse", "options": options_of(reverse.PRESETS["smoke"])}
    config["places"] = places_of(reverse.PRESETS["smoke"])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    said = refusal("dates.py", "--resume", "run", cwd=tmp_path)
    assert said == "run holds a run of reverse, not of dates"
