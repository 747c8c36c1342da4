"""Why does attention divide its scores by sqrt(d_k)?

"Attention Is All You Need" (Vaswani et al., 2017, section 3.2.1 and footnote 4) gives the reason without a
measurement. Scores of independent features of variance 1 have variance d_k. Among large scores softmax picks one, and
hardly any gradient is left. Here both are measured. Queries, keys and the gradient that reaches the weights are
standard normal; d_k runs over the powers of 2; every draw has a seed of its own, and figures show mean and range.

Theory, for n keys:

- The variance is d_k as it is, and 1 with the scale.
- The entropy is log n where all keys weigh alike. With the scale it stays near log n - 1/2 + (e + 1) / 2n, to first
  order in 1 / n. Without it, for large d_k, only the best two keys of a query have weight, and few queries have two
  that nearly tie. So the entropy falls as (pi^2 / 6) a / sqrt(d_k).
- The mean over the queries of the norm of the scores' gradient falls in the same way, as sqrt(2 / pi) a / sqrt(d_k).
  But the median falls as 1.35 exp(-g sqrt(d_k)), because the best key of a typical query leads by g sqrt(d_k). It ends
  near 1e-16, where rounding begins.

Here g is the median lead of the best of n standard normal numbers over the second best, and a is the density of leads
at 0: 0.316 and 2.07 for n = 32.

Expected: variances are within 5 % of theory. With the scale the entropy moves by at most 0.15 nats over all d_k.
Without it the typical gradient at d_k = 1,024 is at most a thousandth of that with it, and the exponent of its fall
from 256 to 1,024 is within 10 % of theory. The preset `quick` is all of it and takes about ten seconds, `paper` is the
same, `smoke` takes two.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray
from scipy.special import ndtr

from scratchformer.analysis.score_scale import ScoreStatistics, measure_scores
from scratchformer.plots import Line, Panel, line_panels, mean_and_range, save_figure
from scratchformer.recipes.experiment import Experiment, run_experiment
from scratchformer.recipes.options import Count, MeasuringOptions, Natural
from scratchformer.runs import About, Range, Result, RunFolder, read_options, read_table
from scratchformer.runs.files import check_rows, real_number, whole_number

ABOUT = About(
    script=__file__,
    description=__doc__,
    source="Vaswani et al., Attention Is All You Need, 2017, section 3.2.1",
    published="none measured there; theory: scores of variance d_k, and gradients that vanish with it",
    picture="scaling.png",
)
SCALES = {"1/sqrt(d_k)": "scores divided by √d_k", "1": "scores as they are"}
"""What the two ways are called: in the table, and in the figures."""
QUANTITIES = tuple(field.name for field in fields(ScoreStatistics))
COLUMNS = ("draw", "d_k", "scale", *QUANTITIES)
Measured = Mapping[str, Float[ndarray, "draws d_k scales"]]
"""The quantities by name. The scale of the paper comes first."""
TARGETS = {"variance_error": 0.05, "entropy_drift": 0.15, "typical_gradient_kept": 1e-3, "decay_error": 0.1}


@dataclass(frozen=True)
class Options(MeasuringOptions):
    """The options of the run."""

    seed: Natural = 0
    """Seed of the queries, keys and gradients."""
    draws: Count = 10
    """Independent repetitions, each with a seed of its own; figures show their mean and range."""
    batch: Count = 256
    """Sets of keys in a draw, each met by 8 queries."""
    keys: Annotated[int, Range(at_least=2)] = 32
    """Keys that a query chooses among: n."""
    largest: Annotated[int, Range(at_least=16, below=10_000)] = 1024
    """Largest d_k, in features; every power of 2 up to it is measured."""


PRESETS = {
    "quick": Options(),
    "paper": Options(preset="paper"),
    "smoke": Options(preset="smoke", draws=2, batch=32, largest=256),
}


class Scaling(Experiment[Options]):
    """Random queries and keys, whose scores are divided by sqrt(d_k), and left as they are."""

    about, presets = ABOUT, PRESETS

    def carry_out(self, folder: RunFolder) -> None:
        options = self.options
        with folder.table("measurements", *COLUMNS) as table:
            for i in range(options.draws):
                generator = np.random.default_rng([options.seed, i])
                for d_k in powers_of_two(options.largest):
                    found = measure_scores(d_k, num_keys=options.keys, batch=options.batch, generator=generator)
                    for scale, statistics in zip(SCALES, found, strict=True):
                        table.add(i, d_k, scale, *astuple(statistics))

    def judge(self, folder: RunFolder) -> list[Result]:
        sizes, measured = read_measurements(folder.path)
        print_means(sizes, measured)
        return self.compare_with_theory(sizes, measured)

    def compare_with_theory(self, sizes: Integer[ndarray, " d_k"], measured: Measured) -> list[Result]:
        """How far theory and measurement are apart, with targets for the options that they were stated for."""
        variance, entropy, gradient, _ = (measured[name].mean(axis=0) for name in QUANTITIES)
        lead, _ = lead_of_the_best(self.options.keys)
        quarter = len(sizes) - 3  # from a quarter of the largest d_k to the largest, sqrt(d_k) doubles
        fall = np.log(gradient[quarter, 1] / gradient[-1, 1]) / (math.sqrt(sizes[-1]) - math.sqrt(sizes[quarter]))
        achieved = {
            "variance_error": abs(variance / np.stack([np.ones(len(sizes)), sizes], axis=1) - 1).max(),
            "entropy_drift": np.ptp(entropy[:, 0]),
            "typical_gradient_kept": gradient[-1, 1] / gradient[-1, 0],
            "decay_error": abs(fall / lead - 1),
        }
        is_judged = self.is_preset("quick")
        return [Result(name, float(value), TARGETS[name] if is_judged else None) for name, value in achieved.items()]

    @classmethod
    def draw(cls, path: Path) -> list[Path]:
        """Draws all quantities by d_k, and the two ways in which gradients fall."""
        try:
            n = int(read_options(path, ABOUT.name)["keys"])
        except (KeyError, TypeError):
            raise ValueError(f"{path} is not a run folder of this program") from None
        sizes, measured = read_measurements(path)
        lead, ties = lead_of_the_best(n)
        x = np.geomspace(1, sizes[-1], 200)
        large = x[x >= 32]  # the theory of the best two keys holds from here on
        typical = Line("theory", large, 1.35 * np.exp(-lead * np.sqrt(large)), "reference")
        average = Line("theory", large, math.sqrt(2 / math.pi) * ties / np.sqrt(large), "reference")
        few_tie = Line("theory", large, math.pi**2 / 6 * ties / np.sqrt(large), "reference")
        level = np.full(len(x), math.log(n) - 1 / 2 + (math.e + 1) / (2 * n))
        variances = [Line("theory", x, np.ones(len(x)), "reference"), Line("theory", x, x, "reference")]

        def lines(quantity: str) -> list[Line]:
            by_scale = zip(SCALES.values(), np.moveaxis(measured[quantity], -1, 0), strict=True)
            return [line for name, values in by_scale for line in mean_and_range(name, sizes, values)]

        all_alike = {f"log {n}, all alike": math.log(n)}
        entropy = [*lines("entropy"), Line("theory", x, level, "reference"), few_tie]
        gradient = [*lines("typical_gradient"), typical]
        everything = line_panels(
            [
                Panel("variance of the scores", "d_k", "variance", [*lines("variance"), *variances], True, True),
                Panel(f"entropy of {n} weights", "d_k", "entropy, nats", entropy, log_x=True, levels=all_alike),
                Panel("norm of the scores' gradient", "d_k", "median over queries", gradient, True, True),
            ],
            title="Attention with scores that are divided by √d_k, and without",
        )
        falling = [
            *mean_and_range("mean over queries", sizes, measured["mean_gradient"][..., 1]),
            *mean_and_range("median over queries", sizes, measured["typical_gradient"][..., 1]),
            average,
            typical,
        ]
        by_root = [replace(line, x=np.sqrt(line.x)) for line in falling]
        heading = "gradient of scores that are not scaled: a few queries learn, most do not"
        decay = line_panels([Panel(heading, "√d_k", "norm of the scores' gradient", by_root, log_y=True)])
        return [save_figure(everything, path / "scaling"), save_figure(decay, path / "decay")]


def powers_of_two(largest: int) -> list[int]:
    """1, 2, 4, ... up to the largest."""
    return [2**i for i in range(largest.bit_length())]


def read_measurements(path: Path) -> tuple[Integer[ndarray, " d_k"], Measured]:
    """Every d_k, and the quantities of a run folder. Raises ValueError where it does not hold them."""
    table = read_table(path / "measurements.csv")
    try:
        sizes = np.unique([whole_number(cell) for cell in table["d_k"]])
        draws, rest = divmod(len(table["d_k"]), len(sizes) * len(SCALES))
        rows = ((str(i), str(d_k), scale) for i in range(draws) for d_k in sizes for scale in SCALES)
        check_rows(table, COLUMNS, rows)
        if rest:
            raise ValueError
        shape = (draws, len(sizes), len(SCALES))
        return sizes, {name: np.array([*map(real_number, table[name])]).reshape(shape) for name in QUANTITIES}
    except (KeyError, ValueError, ZeroDivisionError):
        raise ValueError(f"{path / 'measurements.csv'} does not hold the measurements of a run") from None


def print_means(sizes: Integer[ndarray, " d_k"], measured: Measured) -> None:
    """Prints a row for each d_k, with the means over all draws."""
    print("mean over all draws; first with the scale, then without it")
    print(" d_k  variance           entropy, nats  typical gradient    mean gradient")
    rows = np.stack([measured[name].mean(axis=0) for name in QUANTITIES], axis=1).reshape(len(sizes), -1)
    for d_k, row in zip(sizes, rows, strict=True):
        print("{:4}  {:6.4f} {:10.4f}  {:6.4f} {:6.4f}  {:8.6f} {:9.3e}  {:6.4f} {:6.4f}".format(d_k, *row))


def lead_of_the_best(n: int) -> tuple[float, float]:
    """The median, and the density at 0, of the lead of the best of n standard normal numbers over the second best.

    The probability that the lead is above g is n times the integral of p(x) P(x - g)^(n - 1), where x is the best.
    """
    x, lead = np.linspace(-9, 9, 1001), np.linspace(0, 6, 601)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    exceeds = n * (ndtr(x - lead[:, None]) ** (n - 1)) @ density
    at_zero = n * (n - 1) * (ndtr(x) ** (n - 2) * np.exp(-(x**2) / 2)) @ density / math.sqrt(2 * math.pi)
    return float(np.interp(0.5, exceeds[::-1], lead[::-1])), float(at_zero)


if __name__ == "__main__":
    run_experiment(Scaling)
