from dataclasses import asdict, replace
from typing import Any

import numpy as np

from scratchformer.recipes.prompted_gpt import PromptedOptions, prompted_trainer
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
