"""Why is it Adam that trains Transformers, and not stochastic gradient descent?

Zhang et al. ("Why are adaptive methods good for attention models?", 2020) and Kunstner et al. ("Noise is not the main
factor behind the gap between SGD and Adam on Transformers", 2023) tune the learning rate of each optimizer on language
models, and SGD, with momentum or without, ends at a clearly higher loss than Adam. Here the same is measured on the
character model of char_lm.py and its embedded corpus: SGD, momentum (0.9), Adam and AdamW (decay 0.1), each with
learning rates from too small to too large and everything else as it is there: clipping at norm 1, which helps SGD if
anybody, a linear warm-up over a tenth of the 600 steps, then a cosine down to a tenth of the rate. Every run is one of
char_lm.py, in a process of its own, whose command is printed.

Expected: the best SGD or momentum of all learning rates ends at least 0.1 nats per character above the best Adam. The
preset `quick` has momentum at 0.1 and Adam at 0.003 with one seed, in a minute on two cores, `paper` everything with
three, in half an hour, `smoke` takes a few seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from scratchformer.plots import Line, Panel, line_panels, save_figure
from scratchformer.recipes.char_lm_arms import (
    Arm,
    ArmOptions,
    collect,
    describe_diverged,
    mean_and_range,
    print_table,
    read_arms,
    reference_arms,
)
from scratchformer.recipes.options import is_as
from scratchformer.runs import (
    About,
    Result,
    begin_run,
    conclude,
    one_sentence_errors,
    options_of,
    parse,
    read_measures,
    read_run,
    run_script,
)
from scratchformer.runs.sweep import run_sweep

PROG = "optimizers.py"
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


@dataclass(frozen=True)
class Config(ArmOptions):
    """Options of the sweep."""


PRESETS = {
    "quick": Config(seeds=1, arms=("momentum-0.1", "adam-0.003")),
    "paper": Config(preset="paper"),
    "smoke": Config(
        preset="smoke", seeds=1, arms=("momentum-0.1", "adam-0.003"), steps=20, evaluate_every=10, layers=1, width=16
    ),
}


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        config = parse(PRESETS, prog=PROG, description=__doc__, arguments=arguments)
        if config.plot_only is not None:
            print("figures:", draw(config.plot_only))
            return
        config.check()
        runs = config.runs(ARMS)
        folder = begin_run(config, ABOUT.name, {"options": options_of(config), "runs": runs})

    start = perf_counter()
    run_sweep(folder, Path(__file__).with_name("char_lm.py"), runs, at_once=config.threads)
    seconds = perf_counter() - start

    with one_sentence_errors(PROG):
        arms = collect(folder, config, list(runs))
        print_table(arms)
        conclude(folder, ABOUT, config, judge(config, arms), seconds if config.resume is None else None)
        print("figures:", draw(folder.path))


def by_optimizer(arms: Mapping[str, Arm]) -> dict[str, list[Arm]]:
    """The arms of each optimizer, from the lowest learning rate to the highest."""
    found: dict[str, list[Arm]] = {}
    for arm in sorted(arms.values(), key=lambda arm: list(ARMS).index(arm.name)):
        found.setdefault(arm.name.partition("-")[0], []).append(arm)
    return found


def judge(config: Config, arms: Mapping[str, Arm]) -> list[Result]:
    """The best mean loss of each optimizer, and how far that of Adam is below that of gradient descent."""
    best = {name: min(arm.final for arm in of_rates) for name, of_rates in by_optimizer(arms).items()}
    results = [Result(f"{name}_loss_nats", loss, None) for name, loss in best.items()]
    descent = [best[name] for name in ("sgd", "momentum") if name in best]
    if descent and "adam" in best:
        is_judged = any(is_as(config, PRESETS[name]) for name in ("quick", "paper"))
        ahead = min(descent) - best["adam"]
        results.append(Result("adam_below_descent_nats", ahead, 0.1 if is_judged else None, "higher"))
    return results


def draw(path: Path) -> Path:
    """Draws the best arm of each optimizer by step, and all by their learning rate, before those of the reference."""
    options = read_run(path, "options", "runs", experiment=ABOUT.name)["options"]
    arms = read_arms(read_measures(path / "measures.csv"))
    reference = by_optimizer(reference_arms(__file__, options, PRESETS["paper"]))
    by_step, by_rate = [], []
    for of_rates in reference.values():
        best = min(of_rates, key=lambda arm: arm.final)
        by_step.append(Line("reference run", best.steps, best.losses.mean(axis=0), "behind"))
        by_rate.append(Line("reference run", rates(of_rates), finals(of_rates).mean(axis=0), "behind"))
    for name, of_rates in by_optimizer(arms).items():
        best = min(of_rates, key=lambda arm: arm.final)
        by_step += best.lines(LABELS[name])
        by_rate += mean_and_range(LABELS[name], rates(of_rates), finals(of_rates))
    y_label = "validation loss, nats"
    figure = line_panels(
        [
            Panel("each with its best learning rate", "training step", y_label, by_step),
            Panel("after the last step", "peak of the learning rate", y_label, by_rate, log_x=True),
        ],
        share_y=True,
        title=describe_diverged(arms),
    )
    return save_figure(figure, path / "optimizers")


def rates(of_rates: Sequence[Arm]) -> np.ndarray:
    return np.array([ARMS[arm.name]["learning_rate"] for arm in of_rates])


def finals(of_rates: Sequence[Arm]) -> np.ndarray:
    """The last losses, (seeds, rates)."""
    return np.stack([arm.losses[:, -1] for arm in of_rates], axis=1)


if __name__ == "__main__":
    run_script(main, PROG)
