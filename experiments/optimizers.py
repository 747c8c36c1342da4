"""Why is it Adam that trains Transformers, and not stochastic gradient descent?

Zhang et al. ("Why are adaptive methods good for attention models?", 2020) and Kunstner et al. ("Noise is not the main
factor behind the gap between SGD and Adam on Transformers", 2023) tune the learning rate of each optimizer on language
models. SGD, with momentum or without, ends at a clearly higher loss than Adam.

Here the same is measured on the character model of char_lm.py and its embedded corpus, for SGD, momentum (0.9), Adam
and AdamW (decay 0.1). Each has learning rates from too small to too large; everything else is as in char_lm.py:
clipping at norm 1 (if that helps one of them, it helps SGD), a linear warm-up over a tenth of the 600 steps, then a
cosine down to a tenth of the rate. Every run is one of char_lm.py, in a process of its own, whose command is printed.

Expected: the best SGD or momentum of all learning rates ends at least 0.1 nats per character above the best Adam. The
preset `quick` has momentum at 0.1 and Adam at 0.003 with one seed, and takes a minute on two cores. `paper` has
everything with three seeds, and takes half an hour. `smoke` takes a few seconds.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.plots import Line, Panel, mean_and_range
from scratchformer.recipes.char_lm_arms import Arm, ArmOptions, ArmsExperiment
from scratchformer.recipes.experiment import run_experiment
from scratchformer.runs import About, Result

ABOUT = About(
    script=__file__,
    description=__doc__,
    source="Zhang et al., 2020; Kunstner et al., 2023",
    published="Adam ends below SGD, both with their best learning rates",
    picture="optimizers.png",
)
LABELS = {"sgd": "SGD", "momentum": "momentum", "adam": "Adam", "adamw": "AdamW"}
RATES = {
    "sgd": (0.1, 0.3, 1.0, 3.0, 10.0),
    "momentum": (0.01, 0.03, 0.1, 0.3, 1.0),
    "adam": (3e-4, 1e-3, 3e-3, 1e-2),
    "adamw": (3e-4, 1e-3, 3e-3, 1e-2),
}
ARMS: dict[str, dict[str, Any]] = {
    f"{optimizer}-{rate:g}": {
        "optimizer": optimizer,
        "learning_rate": rate,
        "final_learning_rate": rate / 10,
    }
    for optimizer, rates in RATES.items()
    for rate in rates
}
PAIR = ("momentum-0.1", "adam-0.003")
"""The arms that answer the question soonest."""
PRESETS = {
    "quick": ArmOptions(seeds=1, arms=PAIR),
    "paper": ArmOptions(preset="paper"),
    "smoke": ArmOptions(preset="smoke", seeds=1, arms=PAIR, steps=20, evaluate_every=10, layers=1, width=16),
}


class Optimizers(ArmsExperiment):
    """Runs of the character model with every optimizer, each at several learning rates."""

    about, presets, arms, share_y = ABOUT, PRESETS, ARMS, True
    title = "The character model with four optimizers"

    def compare(self, arms: Mapping[str, Arm]) -> list[Result]:
        """The best mean loss of each optimizer, and how far that of Adam is below that of gradient descent."""
        best = {name: best_of(of_rates).final for name, of_rates in by_optimizer(arms).items()}
        results = [Result(f"{name}_loss_nats", loss, None) for name, loss in best.items()]
        descent = [best[name] for name in ("sgd", "momentum") if name in best]
        if descent and "adam" in best:
            target = 0.1 if self.is_preset("quick", "paper") else None
            results.append(Result("adam_below_descent_nats", min(descent) - best["adam"], target, "higher"))
        return results

    @classmethod
    def panels(cls, arms: Mapping[str, Arm], reference: Mapping[str, Arm]) -> list[Panel]:
        """The best arm of each optimizer by step, and all arms by learning rate."""
        by_step, by_rate = [], []
        for of_rates in by_optimizer(reference).values():
            by_step.append(best_of(of_rates).mean("reference run", "behind"))
            by_rate.append(Line("reference run", rates(of_rates), finals(of_rates).mean(axis=0), "behind"))
        for name, of_rates in by_optimizer(arms).items():
            by_step += best_of(of_rates).lines(LABELS[name])
            by_rate += mean_and_range(LABELS[name], rates(of_rates), finals(of_rates))
        y_label = "validation loss, nats per character"
        return [
            Panel("each with its best learning rate", "training step", y_label, by_step),
            Panel("after the last step", "peak of the learning rate", y_label, by_rate, log_x=True),
        ]


def by_optimizer(arms: Mapping[str, Arm]) -> dict[str, list[Arm]]:
    """The arms of each optimizer, from the lowest learning rate to the highest."""
    found: dict[str, list[Arm]] = {}
    for name in ARMS:
        if name in arms:
            found.setdefault(ARMS[name]["optimizer"], []).append(arms[name])
    return found


def best_of(of_rates: Sequence[Arm]) -> Arm:
    return min(of_rates, key=lambda arm: arm.final)


def rates(of_rates: Sequence[Arm]) -> ndarray:
    return np.array([ARMS[arm.name]["learning_rate"] for arm in of_rates])


def finals(of_rates: Sequence[Arm]) -> ndarray:
    """The last losses, (seeds, rates)."""
    return np.stack([arm.losses[:, -1] for arm in of_rates], axis=1)


if __name__ == "__main__":
    run_experiment(Optimizers)
