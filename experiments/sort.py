"""Does a GPT of 86,000 parameters learn to sort, also sequences that it never saw?

Source: minGPT's demonstration (https://github.com/karpathy/minGPT, demo.ipynb): the model reads six digits out of 0, 1
and 2, and writes them in order. GPT-nano: 3 layers, 3 heads, width 48; AdamW, dropout 0.1, 2,000 steps of 64 sequences.
A quarter of the 729 sequences is held out, by a hash. It reports 5,000 of 5,000 held-out draws sorted exactly.

Here the hash is CRC-32 of the digits, so that every run holds out the same 186 sequences. All others are drawn equally
often. The source means to draw those with few distinct digits more often, because they are learned last. But it does so
only where there are more than 3 distinct digits, and there are never more than 3.

Unlike in the source, the learning rate rises to 2e-3 and falls to 0 instead of staying at 5e-4, and a moving average
of the weights is evaluated. Without both, one of three seeds ended with one sequence wrong: 222221.

Expected: all sequences are sorted. Those in which one digit occurs five or six times are learned last, long after the
others.
The preset `quick` takes half a minute on two cores, `paper` is the same, `smoke` takes a few seconds.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

import zlib
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy import ndarray

from scratchformer.generation import greedy_answers
from scratchformer.models import GPT
from scratchformer.recipes.experiment import TrainingExperiment, run_experiment
from scratchformer.recipes.prompted_gpt import PromptedOptions, draw_answers, prompted_trainer
from scratchformer.runs import About, Result, RunFolder, Training, draw_attention
from scratchformer.text import TokenBatch, prompted_batch

DIGITS, LENGTH = 3, 6
SEQUENCES = np.array(list(product(range(DIGITS), repeat=LENGTH)))
EXAMPLE = np.array([[2, 1, 0, 1, 2, 0]])
"""A held-out sequence, whose attention is drawn."""
REPEATS = {"2 or 3 times": (2, 3), "4 times": (4,), "5 or 6 times": (5, 6)}
"""How often the most frequent digit of a sequence occurs."""

ABOUT = About(
    script=__file__,
    description=__doc__,
    source="minGPT, demo.ipynb (Karpathy, 2022)",
    published="5,000 of 5,000 held-out draws sorted exactly",
    picture="sorted.png",
)
GPT_NANO = PromptedOptions(layers=3, heads=3, width=48, dropout=0.1, batch=64)
QUICK = replace(GPT_NANO, learning_rate=2e-3, warmup=50, average=0.99, evaluate_every=25)
SMOKE = PromptedOptions("smoke", layers=1, heads=1, width=24, steps=60, learning_rate=3e-3, evaluate_every=20)
PRESETS = {"quick": QUICK, "paper": replace(QUICK, preset="paper"), "smoke": SMOKE}


class Sort(TrainingExperiment[PromptedOptions, GPT, TokenBatch]):
    """A GPT that reads six digits and writes them in order."""

    about, presets = ABOUT, PRESETS

    def __init__(self, options: PromptedOptions) -> None:
        super().__init__(options)
        self.learned, self.held_out = split()
        self.introduction = f"{len(self.learned)} sequences to learn from, {len(self.held_out)} held out"
        trainer = prompted_trainer(options, DIGITS, 2 * LENGTH - 1)
        self.training = Training(trainer, self.batches, [batch_of(self.held_out)], self.measure)

    def batches(self, step: int) -> list[TokenBatch]:
        return [batch_of(draws(self.learned, self.options.batch, self.options.seed, 0, step))]

    def measure(self) -> dict[str, float]:
        """The shares of sequences that are sorted: in each set, and by how often their most frequent digit occurs."""
        sequences, n = np.concatenate([self.learned, self.held_out]), len(self.learned)
        right = is_sorted(sequences, greedy_answers(self.model, sequences, LENGTH))
        most = (sequences[:, :, None] == np.arange(DIGITS)).sum(axis=1).max(axis=1)
        by_repeats = {name: right[np.isin(most, counts)].mean() for name, counts in REPEATS.items()}
        return {"held out": right[n:].mean(), "training": right[:n].mean()} | by_repeats

    def judge(self, folder: RunFolder) -> list[Result]:
        """Prints some answers. Returns the shares of 5,000 draws, and of all held-out sequences, that are sorted."""
        held_out, drawn = self.held_out, draws(self.held_out, 5000, self.options.seed, 1)
        with self.evaluated():
            answers, to_drawn = (greedy_answers(self.model, sequences, LENGTH) for sequences in (held_out, drawn))
        right, right_drawn = is_sorted(held_out, answers), is_sorted(drawn, to_drawn)
        wrong = np.flatnonzero(~right)[:5]
        for sequence, answer in zip([*drawn[:5], *held_out[wrong]], [*to_drawn[:5], *answers[wrong]], strict=True):
            print(f"{in_digits(sequence)} -> {in_digits(answer)}")
        print(f"exactly right: {right.sum()} of {len(right)} held out, {right_drawn.sum():,} of {len(drawn):,} draws")
        target = 1.0 if self.is_preset("quick", free=("evaluate_every", "save_every")) else None
        shares = {"share_of_draws_sorted": right_drawn, "share_of_held_out_sorted": right}
        return [Result(name, float(which.mean()), target, "higher") for name, which in shares.items()]

    @classmethod
    def draw(cls, path: Path) -> list[Path]:
        panels = {"sequences": ("held out", "training"), "where the commonest digit occurs": REPEATS}
        figures = draw_answers(path, ABOUT, panels, share="share sorted exactly", title="A GPT that sorts six digits")
        ids = batch_of(EXAMPLE).ids[0]
        return figures + draw_attention(path, ids, list(map(str, ids)), title=f"Sorting {in_digits(EXAMPLE[0])}")


def split() -> tuple[ndarray, ndarray]:
    """The sequences to learn from, and those to hold out: about a quarter, chosen by a hash of the digits alone."""
    is_held_out = np.array([zlib.crc32(in_digits(sequence).encode()) % 4 == 0 for sequence in SEQUENCES])
    return SEQUENCES[~is_held_out], SEQUENCES[is_held_out]


def in_digits(sequence: ndarray) -> str:
    return "".join(map(str, sequence))


def draws(sequences: ndarray, count: int, *seed: int) -> ndarray:
    """Draws `count` of the sequences at random, with replacement."""
    return sequences[np.random.default_rng(seed).integers(len(sequences), size=count)]


def batch_of(sequences: ndarray) -> TokenBatch:
    return prompted_batch(sequences, np.sort(sequences, axis=1))


def is_sorted(sequences: ndarray, answers: ndarray) -> ndarray:
    """Which of the answers are the digits of their sequence in order."""
    return (answers == np.sort(sequences, axis=1)).all(axis=1)


if __name__ == "__main__":
    run_experiment(Sort)
