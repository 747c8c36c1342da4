from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchformer.plots import Line, Panel
from scratchformer.recipes import prompted_gpt
from scratchformer.recipes.prompted_gpt import PromptedOptions, draw_answers, prompted_trainer
from scratchformer.runs import About
from scratchformer.text import prompted_batch

SMALL = PromptedOptions(layers=1, heads=2, width=4, steps=10, batch=4)


def test_every_option_reaches_what_it_is_about() -> None:
    options = PromptedOptions(
        seed=3,
        threads=2,
        layers=3,
        heads=2,
        width=8,
        dropout=0.25,
        steps=20,
        batch=4,
        learning_rate=0.5,
        final_learning_rate=0.125,
        warmup=4,
        betas=(0.5, 0.75),
        weight_decay=0.375,
        clip=2.0,
        average=0.625,
    )
    trainer = prompted_trainer(options, 7, 5)
    expected: dict[str, Any] = {"vocabulary_size": 7, "context_length": 5, "num_layers": 3, "num_heads": 2}
    expected |= {"d_model": 8, "dropout": 0.25, "tied_head": False, "bias": True}
    assert expected.items() <= asdict(trainer.model.config).items()
    assert vars(trainer.schedule) == {"peak": 0.5, "floor": 0.125, "warmup_steps": 4, "num_steps": 20}
    assert (trainer.optimizer.betas, trainer.optimizer.weight_decay) == ((0.5, 0.75), 0.375)
    assert (trainer.max_norm, trainer.average.decay, trainer.num_workers, trainer.seed) == (2.0, 0.625, 2, 3)


def test_the_seed_decides_the_first_weights() -> None:
    a, b, c = (prompted_trainer(replace(SMALL, seed=seed), 7, 5).model.values for seed in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_it_learns_the_answers_to_prompts() -> None:
    prompts, answers = np.array([[0, 1], [1, 0]]), np.array([[2, 3], [3, 3]])
    options = replace(SMALL, steps=100, batch=2, learning_rate=0.03)
    trainer = prompted_trainer(options, 4, 3)
    batch = prompted_batch(prompts, answers)
    with trainer:
        losses = [trainer.step([batch]).loss for _ in range(100)]
    assert losses[-1] < 0.1 < 1 < losses[0]


def test_answers_are_drawn_over_those_held_out_in_the_reference_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, about = np.array([10, 20]), About("sort.py", "Sorts?", "us", "1", "shares.png")
    own, earlier = ({name: (steps, np.array([low, 1.0])) for name in ("training", "held out")} for low in (0.5, 0.25))
    drawn: list[Panel] = []
    for name, made in {
        "read_options": {"preset": "quick"},
        "read_measures": own,
        "reference_curves": earlier,
        "reference_run": None,
        "draw_losses": tmp_path,
        "draw_norms": tmp_path,
        "save_figure": tmp_path,
    }.items():
        monkeypatch.setattr(prompted_gpt, name, lambda *arguments, made=made, **options: made)
    monkeypatch.setattr(prompted_gpt, "line_panels", lambda panels, **options: drawn.extend(panels))
    draw_answers(tmp_path, about, {"all": ["training", "held out", "absent"]}, share="share", title="")
    expected = [Line("reference run", *earlier["held out"], "behind")]
    expected += [Line(name, *own[name]) for name in ("training", "held out")]
    assert [str(line) for line in drawn[0].lines] == [str(line) for line in expected]
