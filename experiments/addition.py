"""Does a GPT that sees nine tenths of all sums of two two-digit numbers learn to add, or only those sums?

Source: minGPT's addition (https://github.com/karpathy/minGPT, play_math.ipynb): the model reads the digits of a and b,
and writes those of a + b; 2 layers, 4 heads, width 128; 50 epochs of 9,000 sums, dropout 0.1. It reports that 999 of
1,000 held-out sums are right. The wrong one is 55 + 45, whose tens add up to 9, so that the carry goes on through them.

The notebook asks whether it helps to write the ones of the sum first. `quick` does so, as minGPT's later project
(projects/adder) does: then each digit depends on two digits and one carry only. `paper` writes the hundreds first, as
the notebook does (`--order written`). Both train for fewer than 30 epochs, without dropout, and evaluate a moving
average of the weights. Held out are the 1,000 pairs (a, b) with the lowest CRC-32, the same in every run. For 893 of
them, (b, a) is among the pairs to learn from.

Expected: at least 999 of 1,000 are right. With `quick` all are from about step 325 of 1,000 on, ones before tens.
`quick` takes half a minute on two cores, `paper` one, `smoke` a few seconds.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy import ndarray

from scratchformer.generation import greedy_answers
from scratchformer.models import GPT
from scratchformer.recipes.experiment import TrainingExperiment, run_experiment
from scratchformer.recipes.prompted_gpt import PromptedOptions, draw_answers, prompted_trainer
from scratchformer.runs import About, Result, RunFolder, Training
from scratchformer.text import TokenBatch, prompted_batch

PAIRS = np.stack(np.divmod(np.arange(10_000), 100), axis=1)
"""Every a and b of at most two digits."""
NUM_HELD_OUT = 1000
DIGITS = {"ones": 1, "tens": 10, "hundreds": 100}
"""The digits of a sum, and the unit that each counts."""

ABOUT = About(
    script=__file__,
    description=__doc__,
    source="minGPT, play_math.ipynb (Karpathy, 2020)",
    published="999 of 1,000 held-out sums right",
    picture="added.png",
)


@dataclass(frozen=True)
class Options(PromptedOptions):
    """The options of the run."""

    order: Literal["reversed", "written"] = "reversed"
    """The order of the sum's digits: ones first, or hundreds first."""


QUICK = Options(steps=1000, warmup=100, average=0.98, evaluate_every=25)
PRESETS = {
    "quick": QUICK,
    "paper": replace(QUICK, preset="paper", steps=2000, order="written"),
    "smoke": Options(preset="smoke", layers=1, heads=2, width=32, steps=60, warmup=10, evaluate_every=20),
}


class Addition(TrainingExperiment[Options, GPT, TokenBatch]):
    """A GPT that reads two numbers and writes their sum."""

    about, presets = ABOUT, PRESETS

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.learned, self.held_out = split()
        self.introduction = f"{len(self.learned):,} sums to learn from, {len(self.held_out):,} held out"
        trainer = prompted_trainer(options, 10, 2 + 2 + 3 - 1)
        self.training = Training(trainer, self.batches, [self.batch_of(self.held_out)], self.measure)

    def batches(self, step: int) -> list[TokenBatch]:
        generator = np.random.default_rng([self.options.seed, step])
        return [self.batch_of(self.learned[generator.integers(len(self.learned), size=self.options.batch)])]

    def batch_of(self, pairs: ndarray) -> TokenBatch:
        """The digits of the numbers, and those of their sums to predict."""
        return prompted_batch(prompts_of(pairs), self.in_order(digits(pairs.sum(axis=1), 3)))

    def in_order(self, sums: ndarray) -> ndarray:
        """Digits of sums, hundreds first, in the order in which the model writes them. Twice gives them back."""
        return sums[:, ::-1] if self.options.order == "reversed" else sums

    def add(self, pairs: ndarray) -> ndarray:
        """The sums that the model writes."""
        return self.in_order(greedy_answers(self.model, prompts_of(pairs), 3)) @ [100, 10, 1]

    def measure(self) -> dict[str, float]:
        """The shares of sums that are right: in each set, by carries and, of the held-out sums, by digit."""
        learned = self.learned[:: len(self.learned) // NUM_HELD_OUT]  # as many
        found, right = self.add(self.held_out), self.held_out.sum(axis=1)
        shares = {"held out": found == right, "training": self.add(learned) == learned.sum(axis=1)}
        shares |= {name: found // unit % 10 == right // unit % 10 for name, unit in DIGITS.items()}
        shares |= {name: (found == right)[which] for name, which in carries(self.held_out).items()}
        return {name: which.mean() for name, which in shares.items()}

    def judge(self, folder: RunFolder) -> list[Result]:
        """The share of held-out sums that are right."""
        with self.evaluated():
            sums, learned = self.add(self.held_out), self.add(self.learned)
        right, num_learned = sums == self.held_out.sum(axis=1), (learned == self.learned.sum(axis=1)).sum()
        shown = [*np.flatnonzero(right)[:4], *np.flatnonzero(~right)[:4]]
        for (a, b), c, is_right in zip(self.held_out[shown], sums[shown], right[shown], strict=True):
            print(f"{a} + {b} = {c}" + ("" if is_right else f", but it is {a + b}"))
        print(f"right: {right.sum():,} of {len(right):,} held out, {num_learned:,} of {len(learned):,} learned from")
        target = 0.999 if self.is_preset("quick", "paper", free=("evaluate_every", "save_every")) else None
        return [Result("share_of_held_out_sums", float(right.mean()), target, "higher")]

    @classmethod
    def draw(cls, path: Path) -> list[Path]:
        panels = {
            "sums": ("held out", "training"),
            "digits of held-out sums": DIGITS,
            "held-out sums with": carries(PAIRS),
        }
        title = "A GPT that adds two numbers of two digits"
        return draw_answers(path, ABOUT, panels, share="share that is right", title=title)


def split() -> tuple[ndarray, ndarray]:
    """The pairs to learn from, and those to hold out, by a hash of nothing but the numbers."""
    order = np.argsort([zlib.crc32(f"{a} + {b}".encode()) for a, b in PAIRS])
    return PAIRS[np.sort(order[NUM_HELD_OUT:])], PAIRS[np.sort(order[:NUM_HELD_OUT])]


def digits(numbers: ndarray, count: int) -> ndarray:
    """The last so many digits of each number, in the order in which they are written."""
    return numbers[..., None] // 10 ** np.arange(count)[::-1] % 10


def prompts_of(pairs: ndarray) -> ndarray:
    """Two digits of a, two of b."""
    return digits(pairs, 2).reshape(len(pairs), 4)


def carries(pairs: ndarray) -> dict[str, ndarray]:
    """Which pairs have no carry, which one that ends at the tens, and which one that goes on to the hundreds."""
    tens, ones = pairs // 10, pairs % 10
    does, meets_9 = ones.sum(axis=1) >= 10, tens.sum(axis=1) == 9
    return {"no carry": ~does, "a carry": does & ~meets_9, "a carry through 9": does & meets_9}


if __name__ == "__main__":
    run_experiment(Addition)
