"""Why does attention divide its scores by sqrt(d_k)?

"Attention Is All You Need" (Vaswani et al., 2017, section 3.2.1 and footnote 4) gives the reason without a
measurement: scores of independent features of variance 1 have variance d_k, and among large scores softmax picks one,
with hardly any gradient left. Here both are measured. Queries, keys and the gradient that reaches the weights are
standard normal; d_k runs over the powers of 2; every draw has a seed of its own, and figures show mean and range.

Theory, for n keys:

- The variance is d_k as it is, and 1 with the scale.
- The entropy is log n where all keys weigh alike. With the scale it stays near log n - 1/2 + (e + 1) / 2n, to first
  order in 1 / n. Without it, for large d_k, all but the best two keys of a query weigh nothing, and few queries have
  two that nearly tie: it falls as (pi^2 / 6) a / sqrt(d_k).
- So does the gradient of the scores, on average: as sqrt(2 / pi) a / sqrt(d_k). But the typical query, the median, has
  a best key that leads by g sqrt(d_k), and its gradient falls as 1.35 exp(-g sqrt(d_k)), down to about 1e-16, where
  rounding begins.

Here g is the median lead of the best of n standard normal numbers over the second best, and a the density of leads at
0: 0.316 and 2.07 for n = 32.

Expected: variances within 5 % of theory; with the scale the entropy moves by at most 0.15 nats over all d_k; without it
the typical gradient at d_k = 1,024 is at most a thousandth of that with it, and the exponent of its fall from 256 to
1,024 within 10 % of theory. The preset `quick` is all of it and takes about ten seconds, `paper` is the same, `smoke`
takes two.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
from numpy import ndarray
from scipy.special import ndtr

from scratchformer.analysis.score_scale import ScoreStatistics, measure_scores
from scratchformer.plots import Line, Panel, line_panels, save_figure
from scratchformer.recipes.options import is_as
from scratchformer.runs import (
    About,
    Result,
    begin_run,
    check_option,
    conclude,
    one_sentence_errors,
    options_of,
    parse,
    read_options,
    read_table,
    run_script,
)

PROG = "scaling.py"
ABOUT = About(
    script=__file__,
    description=__doc__,
    source="Vaswani et al., Attention Is All You Need, 2017, section 3.2.1",
    published="none measured there; theory: scores of variance d_k, and gradients that vanish with it",
    picture="scaling.png",
)
SCALES = {"1/sqrt(d_k)": "scores divided by √d_k", "1": "scores as they are"}
"""In the table, and in the figures."""
QUANTITIES = tuple(field.name for field in fields(ScoreStatistics))
COLUMNS = ("draw", "d_k", "scale", *QUANTITIES)
TARGETS = {"variance_error": 0.05, "entropy_drift": 0.15, "typical_gradient_kept": 1e-3, "decay_error": 0.1}


@dataclass(frozen=True)
class Config:
    """Options of the run."""

    preset: Literal["quick", "paper", "smoke"] = "quick"
    """Where the other options start from: what reaches the targets, the same, or a run of two seconds."""
    out: Path | None = None
    """Folder for the results, new or empty; without one, the next free runs/scaling-NNN."""
    plot_only: Path | None = None
    """Run folder whose figures are drawn anew; all other options are then ignored."""
    seed: int = 0
    """Seed of the queries, keys and gradients."""
    draws: int = 10
    """Independent repetitions, each with a seed of its own; figures show their mean and range."""
    batch: int = 256
    """Sets of keys in a draw, each met by 8 queries."""
    keys: int = 32
    """Keys that a query chooses among: n."""
    largest: int = 1024
    """Largest d_k, in features; every power of 2 up to it is measured."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""
        check_option("seed", self.seed, at_least=0)
        for name in ("draws", "batch"):
            check_option(name, getattr(self, name), at_least=1)
        check_option("keys", self.keys, at_least=2)
        check_option("largest", self.largest, at_least=16, below=10_000)


PRESETS = {
    "quick": Config(),
    "paper": Config(preset="paper"),
    "smoke": Config(preset="smoke", draws=2, batch=32, largest=256),
}


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        config = parse(PRESETS, prog=PROG, description=__doc__, arguments=arguments)
        if config.plot_only is not None:
            print("figures:", *draw(config.plot_only))
            return
        config.check()
        folder = begin_run(config, ABOUT.name, {"options": options_of(config)})

    start = perf_counter()
    with folder.table("measurements", *COLUMNS) as table:
        for i in range(config.draws):
            generator = np.random.default_rng([config.seed, i])
            for d_k in powers_of_two(config.largest):
                found = measure_scores(d_k, num_keys=config.keys, batch=config.batch, generator=generator)
                for scale, statistics in zip(SCALES, found, strict=True):
                    table.add(i, d_k, scale, *astuple(statistics))
    seconds = perf_counter() - start

    sizes, measured = read_measurements(folder.path)
    print_means(sizes, measured)
    conclude(folder, ABOUT, config, judge(config, sizes, measured), seconds)
    with one_sentence_errors(PROG):
        print("figures:", *draw(folder.path))


def powers_of_two(largest: int) -> list[int]:
    """1, 2, 4, ... up to the largest."""
    return [2**i for i in range(largest.bit_length())]


def read_measurements(path: Path) -> tuple[ndarray, dict[str, ndarray]]:
    """Every d_k, and each quantity as (draws, d_k, scales), the scale of the paper first. Raises ValueError."""
    table = read_table(path / "measurements.csv")
    try:
        sizes = np.unique(np.array(table["d_k"], np.int64))
        shape = (-1, len(sizes), len(SCALES))
        return sizes, {name: np.array(table[name], np.float64).reshape(shape) for name in QUANTITIES}
    except (KeyError, ValueError):
        raise ValueError(f"{path / 'measurements.csv'} does not hold the measurements of a run") from None


def print_means(sizes: ndarray, measured: Mapping[str, ndarray]) -> None:
    """A row for each d_k, with the means over all draws."""
    print("mean over all draws; first with the scale, then without it")
    print(" d_k  variance           entropy, nats  typical gradient    mean gradient")
    rows = np.stack([measured[name].mean(axis=0) for name in QUANTITIES], axis=1).reshape(len(sizes), -1)
    for d_k, row in zip(sizes, rows, strict=True):
        print("{:4}  {:6.4f} {:10.4f}  {:6.4f} {:6.4f}  {:8.6f} {:9.3e}  {:6.4f} {:6.4f}".format(d_k, *row))


def judge(config: Config, sizes: ndarray, measured: Mapping[str, ndarray]) -> list[Result]:
    """How far theory and measurement lie apart, with targets for the settings that they were stated for."""
    variance, entropy, gradient, _ = (measured[name].mean(axis=0) for name in QUANTITIES)
    lead, _ = lead_of_the_best(config.keys)
    quarter = len(sizes) - 3  # from a quarter of the largest d_k to the largest, sqrt(d_k) doubles
    fall = np.log(gradient[quarter, 1] / gradient[-1, 1]) / (math.sqrt(sizes[-1]) - math.sqrt(sizes[quarter]))
    achieved = {
        "variance_error": abs(variance / np.stack([np.ones(len(sizes)), sizes], axis=1) - 1).max(),
        "entropy_drift": np.ptp(entropy[:, 0]),
        "typical_gradient_kept": gradient[-1, 1] / gradient[-1, 0],
        "decay_error": abs(fall / lead - 1),
    }
    is_judged = is_as(config, PRESETS["quick"])
    return [Result(name, float(value), TARGETS[name] if is_judged else None) for name, value in achieved.items()]


def lead_of_the_best(n: int) -> tuple[float, float]:
    """Of the lead of the best of n standard normal numbers over the second best: its median, and its density at 0.

    The best is x and all others are below x - g with probability n times the integral of p(x) P(x - g)^(n - 1).
    """
    x, lead = np.linspace(-9, 9, 1001), np.linspace(0, 6, 601)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    exceeds = n * (ndtr(x - lead[:, None]) ** (n - 1)) @ density
    at_zero = n * (n - 1) * (ndtr(x) ** (n - 2) * np.exp(-(x**2) / 2)) @ density / math.sqrt(2 * math.pi)
    return float(np.interp(0.5, exceeds[::-1], lead[::-1])), float(at_zero)


def draw(path: Path) -> list[Path]:
    """Draws what a run folder holds the measurements of: all against d_k, and the two ways in which gradients fall."""
    try:
        n = int(read_options(path, ABOUT.name)["keys"])
    except (KeyError, TypeError):
        raise ValueError(f"{path} is not a run folder of this program") from None
    sizes, measured = read_measurements(path)
    lead, ties = lead_of_the_best(n)
    x = np.geomspace(1, sizes[-1], 200)
    large = x[x >= 32]  # where the theory of the best two keys begins to hold
    level = np.full(len(x), math.log(n) - 1 / 2 + (math.e + 1) / (2 * n))
    typical = Line("theory", large, 1.35 * np.exp(-lead * np.sqrt(large)), "reference")
    average = Line("theory", large, math.sqrt(2 / math.pi) * ties / np.sqrt(large), "reference")
    few_tie = Line("theory", large, math.pi**2 / 6 * ties / np.sqrt(large), "reference")
    variances = [Line("theory", x, np.ones(len(x)), "reference"), Line("theory", x, x, "reference")]

    def lines(quantity: str) -> list[Line]:
        return [
            line
            for i, name in enumerate(SCALES.values())
            for line in mean_and_range(name, sizes, measured[quantity][..., i])
        ]

    all_alike = {f"log {n}, all alike": math.log(n)}
    entropy = [*lines("entropy"), Line("theory", x, level, "reference"), few_tie]
    gradient = [*lines("typical_gradient"), typical]
    everything = line_panels(
        [
            Panel("variance of the scores", "d_k", "variance", [*lines("variance"), *variances], True, True),
            Panel(f"entropy of {n} weights", "d_k", "nats, mean over queries", entropy, log_x=True, levels=all_alike),
            Panel("norm of the scores' gradient", "d_k", "median over queries", gradient, True, True),
        ]
    )
    falling = [
        *mean_and_range("mean over queries", sizes, measured["mean_gradient"][..., 1]),
        *mean_and_range("median over queries", sizes, measured["typical_gradient"][..., 1]),
        average,
        typical,
    ]
    against_root = [replace(line, x=np.sqrt(line.x)) for line in falling]
    heading = "gradient of scores that are not scaled: a few queries learn, most do not"
    decay = line_panels([Panel(heading, "√d_k", "norm of the scores' gradient", against_root, log_y=True)])
    return [save_figure(everything, path / "scaling"), save_figure(decay, path / "decay")]


def mean_and_range(name: str, sizes: ndarray, values: ndarray) -> list[Line]:
    """Of values (draws, d_k): thin lines through the least and the most, and a marked one through the mean."""
    thin = [Line(name, sizes, bound, width=0.7) for bound in (values.min(axis=0), values.max(axis=0))]
    return [*thin, Line(name, sizes, values.mean(axis=0), "marked")]


if __name__ == "__main__":
    run_script(main, PROG)
