import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import experiments.speedrun.__main__ as speedrun
from experiments.char_lm import TINY_SHAKESPEARE
from experiments.speed.fresh_process import Failure
from experiments.speedrun import curves, run
from experiments.speedrun.batches import read_ids, training_batches, validation_batches
from experiments.speedrun.ours import make_model, make_trainer, our_points, our_samples
from experiments.speedrun.recipe import MARKS, NANOGPT, Recipe, smoke
from experiments.speedrun.run import Entry, Run, points_of
from scratchformer.optim.muon import orthogonal
from scratchformer.recipes.character_model import PRESETS, CharacterModel, CharacterModelOptions
from scratchformer.runs import options_of
from scratchformer.text import Corpus
from tests.experiments.running import refusal

TINY = smoke(Recipe(5))
TEXT = "To be, or not to be, that is the question:\n" * 40


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def options_with(recipe: Recipe, preset: CharacterModelOptions) -> CharacterModelOptions:
    """The preset with the values of a recipe where both have an option of the name."""
    shared = asdict(recipe).keys() & options_of(preset).keys()
    return replace(preset, **{name: value for name, value in asdict(recipe).items() if name in shared})


def test_nanogpts_recipe_is_that_of_the_preset() -> None:
    assert options_with(NANOGPT, PRESETS["nanogpt"]) == PRESETS["nanogpt"]


@pytest.mark.parametrize(
    ("recipe", "preset"),
    [(replace(smoke(Recipe(5)), short_steps=2, short_context=8), "quick"), (smoke(NANOGPT), "nanogpt")],
)
def test_a_recipe_trains_as_the_experiment_does(recipe: Recipe, preset: str, text: Path) -> None:
    theirs = CharacterModel(replace(options_with(recipe, PRESETS[preset]), text=text, seed=3))
    ids = read_ids(text)
    ours = make_trainer(recipe, ids.tokenizer.vocabulary_size, seed=3, threads=2)
    with ours, theirs.training.trainer as trainer:
        for step, batch in enumerate(training_batches(recipe, ids.training, seed=3)):
            ours.step([batch])
            trainer.step(theirs.batches(step))
    np.testing.assert_array_equal(ours.model.values, theirs.model.values)
    assert ours.average is not None
    assert trainer.average is not None
    np.testing.assert_array_equal(ours.average.values, trainer.average.values)


def test_no_entry_has_more_than_a_million_parameters() -> None:
    for recipe in (*MARKS.values(), NANOGPT):
        assert make_model(recipe, vocabulary_size=65, seed=0).values.size <= 1_000_000


def test_short_windows_come_first(text: Path) -> None:
    recipe = replace(TINY, steps=3, short_steps=2, short_context=8)
    shapes = [batch.ids.shape for batch in training_batches(recipe, read_ids(text).training, seed=0)]
    assert shapes == [(2, 8), (2, 8), (2, 16)]


def test_all_windows_of_the_last_tenth_are_evaluated(text: Path) -> None:
    ids = read_ids(text)
    seen = np.concatenate([batch.targets.ravel() for batch in validation_batches(TINY, ids.validation)])
    most = (len(ids.validation) - 1) // TINY.context * TINY.context
    np.testing.assert_array_equal(seen, ids.validation[1 : 1 + most])
    assert len(ids.validation) == len(TEXT) - int(0.9 * len(TEXT))


def our_loss(recipe: Recipe, text: Path, seed: int) -> float:
    """The validation loss at the end of a run."""
    (end,) = our_points(recipe, text, seed, 2, {recipe.steps})
    return end.loss


def test_the_same_seed_ends_at_the_same_loss(text: Path) -> None:
    losses = [our_loss(TINY, text, seed) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("framework", ["ours", "pytorch"])
def test_evaluations_on_the_way_change_nothing(framework: str, text: Path) -> None:
    if framework == "pytorch":
        pytest.importorskip("torch")
    recipe = replace(TINY, steps=6, short_steps=2, short_context=8, learning_rate=1e-2, average=0.9)
    entry = Entry("", framework, recipe)
    points = points_of(entry, text, 0, 1, (1, 4, 6))
    (end,) = points_of(entry, text, 0, 1, (6,))
    assert [(point.step, point.characters) for point in points] == [(1, 16), (4, 96), (6, 160)]
    assert points[-1].loss == end.loss
    assert points[0].loss > points[1].loss > points[2].loss
    assert 0 < points[0].seconds < points[1].seconds < points[2].seconds


def test_samples_are_drawn_where_a_loss_is_first_reached(text: Path) -> None:
    recipe = replace(TINY, steps=6, learning_rate=1e-2, average=0.5)
    points = list(our_points(recipe, text, 0, 2, range(1, 7)))
    levels = [points[1].loss, points[4].loss, 0.1]
    samples = our_samples(recipe, text, 0, 2, range(1, 7), levels)
    assert [point.step for point, _ in samples] == [2, 5]
    assert all(len(written) == 240 and set(written) <= set(TEXT) for _, written in samples)


def test_curves_are_measured_drawn_and_sampled(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    monkeypatch.setattr(curves, "LEVELS", (100.0, 0.0))
    monkeypatch.setattr(curves, "closely", lambda recipe: (1, 2))
    curves.main(["--preset", "smoke", "--text", str(text), "--out", str(tmp_path / "out")])
    rows = (tmp_path / "out" / "curves.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "run,step,characters,seconds,loss"
    names = "ours", '"ours, nanoGPT\'s recipe"'
    begins = [f"{name},{step},{32 * step}," for name in names for step in (1, 2, 3)]
    assert all(row.startswith(begin) for row, begin in zip(rows[1:], begins, strict=True))
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")
    (sample,) = (tmp_path / "out" / "samples.md").read_text(encoding="utf-8").split("At ")[1:]
    assert "nats, after 1 steps" in sample
    assert "ours, nanoGPT's recipe: " in capsys.readouterr().out


def test_points_of_a_run_are_closer_together_at_its_begin() -> None:
    steps = curves.evaluated(Recipe(850))
    gaps = np.diff([0, *steps])
    assert steps[-1] == 850
    assert len(steps) <= 20
    assert gaps[0] < gaps[-1]


def test_a_run_is_timed_in_a_process_of_its_own(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "speedrun.json"
    speedrun.main(["--preset", "smoke", "--text", str(text), "--seeds", "3", "--json", str(file)])
    printed = capsys.readouterr().out
    (row,) = json.loads(file.read_text())["rows"]
    (found,) = row["runs"]
    assert found["loss"] == our_loss(smoke(MARKS["1.88"]), text, 3)
    assert 0 < found["seconds"] < 600
    assert f"ours, seed 3: {found['loss']:.4f} in {found['seconds']:.1f} s" in printed
    assert "nothing is judged" in printed


def test_entries_take_turns_and_the_table_says_what_they_reached(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = []

    def timed(entry: run.Entry, text: Path | None, seed: int, threads: int) -> Run:
        turns.append((entry.name, seed))
        return Run(seed, 10.0 + seed, 1.8 + seed / 100)

    monkeypatch.setattr(speedrun, "timed", timed)
    monkeypatch.setattr(speedrun, "find_spec", lambda name: None)
    speedrun.main(["--peers", "--seeds", "0", "2"])
    names = "ours", "ours, nanoGPT's recipe"
    assert turns == [(name, seed) for seed in (0, 2) for name in names]
    printed = capsys.readouterr().out
    assert "PyTorch is not installed in this Python: only ours is timed" in printed
    assert "1.8000 1.8200  1.8100  10.0 12.0  11.0   10.0-12.0" in printed


@pytest.mark.parametrize("preset", ["quick", "smoke"])
def test_every_run_must_be_below_the_mark(preset: str, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Corpus, "sha256", TINY_SHAKESPEARE)
    options = speedrun.Options(preset=preset, text=text, mark="1.70")
    runs = [Run(0, 1.0, 1.69), Run(1, 1.0, 1.70)]
    speedrun.judge(options, runs[:1])
    if preset == "smoke":
        speedrun.judge(options, runs)
    else:
        with pytest.raises(Failure, match=r"seed 1 ended at 1\.7000, which is not below 1\.70"):
            speedrun.judge(options, runs)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "1", "1"], "--seeds must be one or several that differ, got 1 1"),
        (["--threads", "9"], "--threads 9 is more than a step has windows, 8"),
        (["--text", "no.txt"], "text file no.txt cannot be read: No such file or directory"),
        (["--json", "missing/a.json"], "--json missing/a.json cannot be written: No such file or directory"),
    ],
)
def test_bad_options_are_one_clear_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    assert refusal("speedrun", *arguments, cwd=tmp_path) == said


def test_pytorchs_llama_and_muon_step_as_ours() -> None:
    torch = pytest.importorskip("torch")
    from experiments.speed.pytorch_steps import pytorch_weights
    from experiments.speedrun import pytorch_run

    recipe = replace(TINY, layers=2)
    ours = make_trainer(recipe, 7, seed=0, threads=1)
    theirs = pytorch_run.make_model(recipe, 7)

    def weights() -> dict[str, np.ndarray]:
        return pytorch_weights({name: parameter.value for name, parameter in ours.model.parameters().items()})

    assert sum(parameter.numel() for parameter in theirs.parameters()) == ours.model.values.size
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in weights().items()})
    update = pytorch_run.make_update(recipe, theirs, torch.float32)
    rng = np.random.default_rng(1)
    for _ in range(2):
        (batch,) = training_batches(replace(recipe, steps=1), rng.integers(0, 7, 60), seed=0)
        loss = theirs.loss(*pytorch_run.tensors(batch))
        theirs.zero_grad()
        loss.backward()
        assert ours.gradient([batch]) == pytest.approx(loss.item(), rel=1e-5)
        ours.optimizer.step(0.01)
        update(0.01)
    for name, value in weights().items():
        np.testing.assert_allclose(theirs.state_dict()[name].numpy(), value, atol=2e-5, err_msg=name)


def test_pytorch_makes_matrices_orthogonal_as_we_do() -> None:
    torch = pytest.importorskip("torch")
    from experiments.speedrun import pytorch_muon

    for shape in ((3, 4, 6), (2, 6, 4)):
        u = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        found = pytorch_muon.orthogonal(torch.from_numpy(u), torch.float32).numpy()
        np.testing.assert_allclose(found, [orthogonal(matrix) for matrix in u], atol=1e-5)


@pytest.mark.parametrize("recipe", [TINY, replace(smoke(NANOGPT), average=0.0)])
def test_pytorch_runs_from_text_to_loss(recipe: Recipe, text: Path) -> None:
    pytest.importorskip("torch")
    recipe = replace(recipe, steps=60, learning_rate=1e-2, average=0.5)
    first, end = points_of(Entry("", "pytorch", recipe), text, 0, 1, (1, 60))
    assert 0 < end.loss < first.loss - 0.5
