"""Does a Transformer that knows its training examples by heart come to understand them if training just goes on?

Source: Power et al., "Grokking", 2022 (arXiv:2201.02177), in the set-up of Nanda et al., "Progress measures for
grokking via mechanistic interpretability", 2023 (arXiv:2301.05217): a + b mod p is read off the last of the tokens
a, b, "=" by one layer of width 128 (4 heads, 512 ReLU units, no norms, no biases), all training pairs in every step,
AdamW with a weight decay of 1. A control without decay takes the same steps.

`paper` has p = 113 and trains on 30 % of all pairs, `quick` has p = 53 and trains on half of them. Expected of `quick`:
it knows every training pair by step 150, 0.9 of the test pairs only hundreds of steps later, and 0.99 in the end. The
control stays at what symmetry gives: it knows b + a where it learned a + b. In the end a few frequencies make up the
embedding of the numbers. The step at which 0.9 is reached depends on the seed: 1,060, 1,860 and 1,240 with 0, 1 and 2.
`paper` knows the training pairs by step 150, and reached 0.9 at step 7,450 with seed 0. The source reaches nearly all
of the test near 10,000.

`quick` takes less than two minutes on two cores, `paper` about forty, `smoke` a few seconds.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.layers import AttentionConfig, Embedding, FeedForward, Layer, Linear, MultiHeadAttention, Trace
from scratchformer.layers.trace import NO_TRACE
from scratchformer.ops import Backward, cross_entropy
from scratchformer.optim import AdamW, WarmupCosine
from scratchformer.plots import Line, Panel, line_panels, save_figure
from scratchformer.recipes.compared_models import ComparedModels, read_arms
from scratchformer.recipes.experiment import run_experiment
from scratchformer.recipes.options import (
    Count,
    EvaluateEvery,
    Heads,
    NotNegative,
    Positive,
    RunOptions,
    SaveEvery,
    Warmup,
    Width,
)
from scratchformer.runs import About, Range, Result, RunFolder, Training, read_config, reference_curves
from scratchformer.runs.stored_options import Where
from scratchformer.text import TokenBatch
from scratchformer.training import LAST, Trainer, load

ABOUT = About(
    script=__file__,
    description=__doc__,
    source="Power et al., Grokking, 2022; Nanda et al., Progress measures for grokking, 2023",
    published="understood near step 1,600 for p = 53, near 10,000 for p = 113",
    picture="grokking.png",
)
ARMS = {"decay": "with decay", "control": "without"}
"""The arms by their names in tables and folders, and those in figures."""


@dataclass(frozen=True)
class Options(RunOptions):
    """The options of the run."""

    threads: Annotated[Count, Range(below=9), Where] = 2
    """Worker threads; each takes a share of every batch."""
    modulus: Annotated[int, Range(at_least=11, below=1000)] = 53
    """The modulus p of the sums; odd."""
    share: Annotated[float, Range(at_least=0.1, below=1)] = 0.5
    """Share of the p^2 pairs that is trained on; all others are the test."""
    control: bool = True
    """Whether a second model is trained, without weight decay."""
    heads: Heads = 4
    width: Width = 128

    steps: Count = 2200
    """Training steps of each model: updates of the weights."""
    learning_rate: Positive = 1e-3
    """Learning rate of every step after the warm-up."""
    warmup: Warmup = 10
    weight_decay: NotNegative = 1.0
    """AdamW's decoupled decay; the control has none."""
    evaluate_every: EvaluateEvery = 20
    save_every: SaveEvery = 500

    def check(self) -> None:
        super().check()
        if self.modulus % 2 == 0:
            raise ValueError(f"--modulus must be odd, got {self.modulus}")


PRESETS = {
    "quick": Options(),
    "paper": Options(preset="paper", modulus=113, share=0.3, steps=14_000, evaluate_every=50),
    "smoke": Options(preset="smoke", modulus=11, heads=2, width=32, steps=150, save_every=50),
}
TARGETS = {
    preset: {
        "steps_to_memorise": memorise,
        "steps_to_understand": understand,
        "test_accuracy": 0.99,
        "control_test_accuracy": PRESETS[preset].share + 0.1,  # who knows a + b may know b + a
    }
    for preset, memorise, understand in (("quick", 150, 450), ("paper", 250, 1250))
}


class AdditionTransformer(Layer):
    """Reads a, b and "=", and gives the logits of a + b mod p there.

    x = E[ids] + P; h = x_last + attention(x_last, x); logits = (h + relu(h W_up) W_down) W_head. Only the last position
    asks, so what follows attention is computed there alone. All parameters start normal, with standard deviation
    1 / sqrt(width).
    """

    def __init__(
        self, modulus: int, width: int, heads: int, *, generator: np.random.Generator, dtype: DTypeLike = np.float32
    ) -> None:
        self.token_embedding = Embedding(modulus + 1, width, generator=generator, dtype=dtype)
        self.position_embedding = Embedding(3, width, generator=generator, dtype=dtype)
        self.attention = MultiHeadAttention(AttentionConfig(width, heads, bias=False), generator=generator, dtype=dtype)
        self.feed_forward = FeedForward(
            width, 4 * width, activation="relu", bias=False, generator=generator, dtype=dtype
        )
        self.head = Linear(width, modulus, bias=False, generator=generator, dtype=dtype)
        for parameter in self.parameters().values():
            parameter.value[...] = generator.standard_normal(parameter.value.shape) / math.sqrt(width)
        self.pack()

    def __call__(self, ids: ndarray, *, trace: Trace = NO_TRACE) -> tuple[ndarray, Backward]:
        """Logits (..., 1, p) of ids (..., 3), and `backward(dlogits)`, which returns None: ids have no gradient."""
        tokens, token_backward = self.token_embedding(ids)
        positions, position_backward = self.position_embedding(np.arange(3))
        x = tokens + positions
        last = x[..., -1:, :]
        attended, attention_backward = self.attention(last, x)
        h = last + attended
        f, feed_forward_backward = self.feed_forward(h)
        y = h + f
        logits, head_backward = self.head(y)
        trace.record(embedded=x, residual_after_attention=h, residual=y, logits=logits)

        def backward(dlogits: ndarray) -> None:
            dy = head_backward(dlogits)
            dh = dy + feed_forward_backward(dy)
            dlast, dmemory, _ = attention_backward(dh)
            dx = np.concatenate([dmemory[..., :-1, :], dmemory[..., -1:, :] + dlast + dh], axis=-2)
            position_backward(dx.reshape(-1, *positions.shape).sum(axis=0))
            token_backward(dx)

        return logits, backward


class Grokking(ComparedModels[Options, AdditionTransformer, TokenBatch]):
    """A model with weight decay, and one without."""

    about, presets = ABOUT, PRESETS

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.learned, self.test = split(options)
        self.introduction = f"{self.learned.num_targets:,} pairs to learn from, {self.test.num_targets:,} to test on; "
        self.decays = {"decay": options.weight_decay} | ({"control": 0.0} if options.control else {})
        self.trainings = {arm: self.training_of(arm) for arm in self.decays}

    def training_of(self, arm: str) -> Training[AdditionTransformer, TokenBatch]:
        """The training of an arm, on all training pairs in every step."""
        options, model = self.options, make_model(self.options)
        trainer = Trainer(
            model,
            AdamW(model, betas=(0.9, 0.98), weight_decay=self.decays[arm]),
            WarmupCosine(options.learning_rate, options.learning_rate, options.warmup, options.steps),
            loss,
            num_workers=options.threads,
            seed=options.seed,
        )
        measured = partial(measure, arm, model, {"training": self.learned, "test": self.test})
        return Training(trainer, lambda step: [self.learned], [self.test], measured)

    def describe(self, arm: str) -> str:
        size, threads = self.models[arm].values.size, self.options.threads
        return f"{size:,} parameters, weight decay {self.decays[arm]:g}, {threads} threads"

    def judge(self, folder: RunFolder) -> list[Result]:
        """The steps at which the training pairs and the test are known, and the accuracies in the end."""
        print_answers(self.models, self.learned, self.test)
        measured = read_arms(folder.path, ARMS)
        targets = next((TARGETS[name] for name in TARGETS if self.is_preset(name, free=("save_every",))), {})

        def first(name: str, level: float) -> float:
            """The step at which a curve first reaches the level; not a number if it never does."""
            steps, values = measured[name]
            return int(steps[values >= level][0]) if (values >= level).any() else math.nan

        def last(name: str) -> float:
            return float(measured[name][1][-1])

        achieved = {
            "steps_to_memorise": first("decay_training_accuracy", 0.99),
            "steps_to_understand": first("decay_test_accuracy", 0.9),
            "test_accuracy": last("decay_test_accuracy"),
            "top_five_share": last("decay_top_five_share"),
        }
        if self.options.control:
            achieved["control_test_accuracy"] = last("control_test_accuracy")
        lower = ("steps_to_memorise", "control_test_accuracy")
        return [
            Result(name, value, targets.get(name), "lower" if name in lower else "higher")
            for name, value in achieved.items()
        ]

    @classmethod
    def draw(cls, path: Path) -> list[Path]:
        """Draws accuracy and loss by step, and the spectrum of the embedding."""
        options = read_config(path, ABOUT.name, Options)
        options.check()
        measured, reference = read_arms(path, ARMS), reference_curves(__file__, options.preset)

        def lines(quantity: str) -> list[Line]:
            own = [
                Line(f"{part}, {ARMS[arm]}", *measured[f"{arm}_{part}_{quantity}"])
                for part in ("test", "training")
                for arm in ARMS
                if f"{arm}_{part}_{quantity}" in measured
            ]
            name = f"decay_test_{quantity}"
            return own + ([Line("test, reference run", *reference[name], "behind")] if name in reference else [])

        ends = np.array([options.evaluate_every, options.steps])
        mirrored = Line("pairs of which b + a is trained", ends, np.full(2, options.share), "reference")
        curves = [
            Panel("accuracy", "training step", "share of pairs", [*lines("accuracy"), mirrored], log_x=True),
            Panel("loss", "training step", "loss, nats per sum", lines("loss"), log_x=True, log_y=True),
        ]

        title = f"a + b mod {options.modulus}, trained on {options.share:.0%} of all pairs"
        shares = [Line(ARMS[arm], *measured[name]) for arm in ARMS if (name := f"{arm}_top_five_share") in measured]
        models = {ARMS[arm]: load(file, make_model(options)) for arm in ARMS if (file := path / arm / LAST).exists()}
        models["before training"] = make_model(options)
        frequencies = np.arange(1, (options.modulus + 1) // 2)
        norms = [Line(name, frequencies, spectrum(model)) for name, model in models.items()]
        sparse = [
            Panel("Fourier components of the embedding", "frequency, periods in p", "norm", norms),
            Panel("the five largest components", "training step", "share of all squares", shares, log_x=True),
        ]
        return [
            save_figure(line_panels(curves, title=title), path / "grokking"),
            save_figure(line_panels(sparse, title=title), path / "spectrum"),
        ]


def split(options: Options) -> tuple[TokenBatch, TokenBatch]:
    """The pairs to train on and those to test on, shuffled by the seed. Each has one target, at its last token."""
    p = options.modulus
    a, b = np.divmod(np.random.default_rng([options.seed, 1]).permutation(p * p), p)
    ids = np.stack([a, b, np.full_like(a, p)], axis=1)
    targets = np.full_like(ids, -100)
    targets[:, -1] = (a + b) % p
    n = int(options.share * p * p)
    return TokenBatch(ids[:n], targets[:n]), TokenBatch(ids[n:], targets[n:])


def make_model(options: Options) -> AdditionTransformer:
    return AdditionTransformer(
        options.modulus, options.width, options.heads, generator=np.random.default_rng([options.seed, 0])
    )


def loss(model: AdditionTransformer, batch: TokenBatch, generator: Any, trace: Trace) -> tuple[Any, Backward]:
    """Mean cross-entropy at the last position, in float64.

    In float32, of which 1 - 6e-8 is the last number below 1, the training loss of `quick` comes down to about 1e-7, and
    then jumps up a hundredfold or more, with decay (to 7e-4) and without (to 2e-5).
    """
    logits, logits_backward = model(batch.ids, trace=trace)
    loss, loss_backward = cross_entropy(logits.astype(np.float64), batch.targets[:, -1:])
    return loss, lambda dloss=1.0: logits_backward(loss_backward(dloss).astype(logits.dtype))


def measure(arm: str, model: AdditionTransformer, batches: dict[str, TokenBatch]) -> dict[str, float]:
    """Accuracy and loss (nats) on each batch, and the share of the embedding's five strongest frequencies."""
    found = {}
    for name, batch in batches.items():
        logits = model(batch.ids)[0].astype(np.float64)
        targets = batch.targets[:, -1:]
        found[f"{arm}_{name}_accuracy"] = float((logits.argmax(axis=-1) == targets).mean())
        found[f"{arm}_{name}_loss"] = float(cross_entropy(logits, targets)[0])
    squares = np.sort(spectrum(model) ** 2)
    return found | {f"{arm}_top_five_share": squares[-5:].sum() / squares.sum()}


def spectrum(model: AdditionTransformer) -> ndarray:
    """Norm of the number embeddings' Fourier component at each frequency from 1 to (p - 1) / 2.

    Their squares add up to the mean square distance of a number's embedding from the mean of all.
    """
    numbers = model.token_embedding.table.value[:-1].astype(np.float64)  # all tokens but "="
    return math.sqrt(2) / len(numbers) * np.linalg.norm(np.fft.rfft(numbers, axis=0)[1:], axis=1)


def print_answers(models: dict[str, AdditionTransformer], training: TokenBatch, test: TokenBatch) -> None:
    """Prints each model's answers to a few pairs (a, b) such that not even (b, a) was trained."""
    trained = {(a, b) for a, b, _ in training.ids.tolist()}
    ids = test.ids[[(b, a) not in trained for a, b, _ in test.ids.tolist()]][:5]
    answers = {arm: model(ids)[0].argmax(axis=-1)[:, 0] for arm, model in models.items()}
    print("\na few sums of which not even b + a was trained")
    for i, (a, b, modulus) in enumerate(ids.tolist()):
        said = ", ".join(f"{ARMS[arm]} {found[i]}" for arm, found in answers.items())
        print(f"{a} + {b} = {(a + b) % modulus} mod {modulus}: {said}")


if __name__ == "__main__":
    run_experiment(Grokking)
