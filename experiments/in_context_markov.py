"""Does attention learn to count in context, and does it do so in stages?

Source: Edelman et al., "The Evolution of Statistical Induction Heads: In-Context Learning Markov Chains", 2024
(arXiv:2402.11004). Each sequence of 100 tokens comes from a Markov chain of its own: 2 states, rows of the transition
matrix from Dirichlet(1, 1), the first state from the stationary distribution. The model has nothing but attention: two
layers of one head and width 16, scores with a bias by distance. A control has one layer.

Guessing, counting states (unigrams) and counting transitions (bigrams) cost 0.693, 0.577 and 0.511 nats per token:
means over tokens 2 to 100 of a million sequences, where counts start at 1. With counts that start at 1, bigrams are the
mean of the posterior of the chain, but for what the first state tells of it, which would save another 0.001.

Other than in the source, a token marks the beginning. Attention can rest on it, and so weigh few counts less than many,
as counts that start at 1 do. Without it (`--no-beginning`) attention is the mean of what followed, however often that
was, and the best logits that are linear in that mean stay 0.012 above the optimum.

Expected: the loss of two layers rests at that of counting unigrams for at least 100 steps, then comes within 0.01 nats
of the optimum. That of one layer stays at least 0.03 above it. `quick` takes half a minute on two cores. `paper` has
four times the steps at a third of the learning rate, and takes two minutes. `smoke` takes a few seconds.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy import ndarray

from scratchformer.analysis.attention_patterns import induction_score, previous_token_score
from scratchformer.layers import AttentionConfig, Embedding, Layer, Linear, MultiHeadAttention, RelativeBias, Trace
from scratchformer.layers.trace import NO_TRACE
from scratchformer.ops import Backward, cross_entropy, softmax
from scratchformer.optim import AdamW, WarmupCosine
from scratchformer.plots import Line, Panel, attention_maps, line_panels, save_figure
from scratchformer.recipes.compared_models import ComparedModels, read_arms
from scratchformer.recipes.experiment import run_experiment
from scratchformer.recipes.options import (
    Count,
    EvaluateEvery,
    Positive,
    RunOptions,
    SaveEvery,
    Warmup,
)
from scratchformer.runs import About, Range, Result, RunFolder, Training, read_config, reference_curves
from scratchformer.text import TokenBatch
from scratchformer.text.markov import bigram, markov_sequences, unigram
from scratchformer.training import LAST, Trainer, load, next_token_loss

ABOUT = About(
    script=__file__,
    description=__doc__,
    source="Edelman et al., The Evolution of Statistical Induction Heads, 2024",
    published="the loss rests where unigrams are counted, then falls to the Bayes-optimal bigram",
    picture="loss.png",
)
ARMS = {"two_layers": 2, "one_layer": 1}
STATES, BEGIN = "ab", 2
TITLE = "Markov chains of two states, each learned from its context"
STRATEGIES = {"unigram": unigram, "bigram": bigram}
SHOWN = 24
"""Tokens of the example whose attention is drawn."""


@dataclass(frozen=True)
class Options(RunOptions):
    """The options of the run."""

    beginning: bool = True
    """Whether a token marks the beginning of a sequence, on which attention can rest."""
    length: Annotated[int, Range(at_least=4)] = 100
    """Tokens of a sequence."""
    width: Count = 16
    """Features of the residual stream, and of queries, keys and values."""

    steps: Count = 2000
    """Training steps of each model: updates of the weights."""
    batch: Count = 64
    """Sequences per step, drawn anew for each."""
    learning_rate: Positive = 1e-3
    """Peak of the schedule, which then falls to a tenth along a cosine."""
    warmup: Warmup = 50
    evaluate_every: EvaluateEvery = 20
    save_every: SaveEvery = 250
    validation: Count = 256
    """Sequences that the curves are measured on."""
    tests: Count = 2000
    """Other sequences, on which the verdict is measured."""


PRESETS = {
    "quick": Options(),
    "paper": Options(preset="paper", steps=8000, learning_rate=3e-4, evaluate_every=50),
    "smoke": Options(
        preset="smoke", length=24, steps=60, batch=16, warmup=10, evaluate_every=10, validation=16, tests=64
    ),
}


class AttentionOnly(Layer):
    """Layers of one head each on a residual stream: x = E[ids]; x = x + attention(x) in each; logits = x W_head.

    Scores get a bias by distance, which counts in units of 4: a step of Adam moves all parameters alike, and biases
    have to grow the largest. Embeddings start standard normal, linear maps with standard deviation 0.1.
    """

    UNIT = 4.0

    def __init__(self, num_layers: int, width: int, *, generator: np.random.Generator) -> None:
        self.embedding = Embedding(len(STATES) + 1, width, generator=generator)
        bias = partial(RelativeBias, 1, num_buckets=32, max_distance=128, bidirectional=False, generator=generator)
        self.biases = [bias() for _ in range(num_layers)]
        self.attentions = [
            MultiHeadAttention(AttentionConfig(width, 1, bias=False), generator=generator) for _ in range(num_layers)
        ]
        self.head = Linear(width, len(STATES), bias=False, generator=generator)
        for name, parameter in self.parameters().items():
            if name.endswith("weight"):
                parameter.value[...] = 0.1 * generator.standard_normal(parameter.value.shape)
        self.pack()

    def __call__(self, ids: ndarray, *, trace: Trace = NO_TRACE) -> tuple[ndarray, Backward]:
        """Logits (..., T, 2) of ids (..., T), and `backward(dlogits)`, which returns None: ids have no gradient."""
        x, embedding_backward = self.embedding(ids)
        trace.record(embedded=x)
        t = ids.shape[-1]
        backwards = []
        for i, (attention, relative_bias) in enumerate(zip(self.attentions, self.biases, strict=True)):
            bias, bias_backward = relative_bias(t, t)
            inner = trace.within(f"attentions.{i}")
            attended, attention_backward = attention(x, mask=self.UNIT * bias, is_causal=True, trace=inner)
            x = x + attended
            inner.record(residual=x)
            backwards.append((attention_backward, bias_backward))
        logits, head_backward = self.head(x)

        def backward(dlogits: ndarray) -> None:
            dx = head_backward(dlogits)
            for attention_backward, bias_backward in reversed(backwards):
                dattended, _, dmask = attention_backward(dx)
                bias_backward(self.UNIT * dmask)
                dx = dx + dattended
            embedding_backward(dx)

        return logits, backward

    def loss(
        self, ids: ndarray, targets: ndarray, *, generator: object = None, trace: Trace = NO_TRACE
    ) -> tuple[Any, Backward]:
        """The mean cross-entropy over the targets that count, in nats, and `backward(dloss)`."""
        logits, logits_backward = self(ids, trace=trace)
        loss, loss_backward = cross_entropy(logits, targets)
        return loss, lambda dloss=1.0: logits_backward(loss_backward(dloss))


class InContextMarkov(ComparedModels[Options, AttentionOnly, TokenBatch]):
    """A model of two layers, and one of one layer."""

    about, presets = ABOUT, PRESETS

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.validation, _ = draw_sequences(options, 1)
        self.trainings = {arm: self.training_of(arm) for arm in ARMS}

    def training_of(self, arm: str) -> Training[AttentionOnly, TokenBatch]:
        """The training of an arm, on new sequences in every step."""
        options, model = self.options, make_model(arm, self.options)
        trainer = Trainer(
            model,
            AdamW(model, betas=(0.9, 0.99), weight_decay=0.0),
            WarmupCosine(options.learning_rate, options.learning_rate / 10, options.warmup, options.steps),
            next_token_loss,
            max_norm=1.0,
            num_workers=options.threads,
            seed=options.seed,
        )
        measured = partial(measure, arm, model, self.validation, options)
        return Training(trainer, self.batches, batches_of(self.validation, options), measured)

    def batches(self, step: int) -> list[TokenBatch]:
        return batches_of(draw_sequences(self.options, 0, step)[0], self.options)

    def describe(self, arm: str) -> str:
        size, threads = self.models[arm].values.size, self.options.threads
        return f"{arm.replace('_', ' ')}: {size:,} parameters, {threads} threads"

    def judge(self, folder: RunFolder) -> list[Result]:
        """How far each model is above the optimum, and how long that of two layers rests at the loss of unigrams."""
        tests, matrices = draw_sequences(self.options, 2)
        predicted = {arm: probabilities(model, tests, self.options) for arm, model in self.models.items()}
        print_predictions(predicted, tests, matrices)
        optimum = nats(bigram(tests), tests)
        above = {arm: nats(found, tests) - optimum for arm, found in predicted.items()}
        _, losses = read_arms(folder.path, ARMS)["two_layers_loss"]
        rests = abs(losses - nats(unigram(self.validation), self.validation)) <= 0.02
        results = [
            Result("two_layers_above_optimum_nats", above["two_layers"], 0.01),
            Result("one_layer_above_optimum_nats", above["one_layer"], 0.03, "higher"),
            Result("steps_within_0.02_of_unigrams", int(rests.sum()) * self.options.evaluate_every, 100, "higher"),
        ]
        is_judged = self.is_preset("quick", "paper", free=("save_every",))
        return results if is_judged else [replace(result, target=None) for result in results]

    @classmethod
    def draw(cls, path: Path) -> list[Path]:
        """Draws the losses, the stages, and the attention over an example."""
        options = read_config(path, ABOUT.name, Options)
        options.check()
        measured, reference = read_arms(path, ARMS), reference_curves(__file__, options.preset)
        validation, _ = draw_sequences(options, 1)
        levels = {name: nats(strategy(validation), validation) for name, strategy in STRATEGIES.items()}
        levels = {f"{name} {level:.3f}": level for name, level in ({"uniform": math.log(2)} | levels).items()}

        def panel(title: str, unit: str, names: dict[str, str], **scales: Any) -> Panel:
            lines = [Line("reference run", *reference[name], "behind") for name in names if name in reference]
            lines += [Line(label, *measured[name]) for name, label in names.items() if name in measured]
            return Panel(title, "training step", unit, lines, log_x=True, **scales)

        losses = {f"{arm}_loss": arm.replace("_", " ") for arm in ARMS}
        divergences = {f"two_layers_from_{name}": f"{name}s" for name in STRATEGIES}
        heads = {
            "two_layers_previous_token": "layer 1: token before",
            "two_layers_induction": "layer 2: after same state",
        }
        stages = [
            panel("two layers' distance from counting", "divergence, nats per token", divergences, log_y=True),
            panel("what two layers attend to", "share of attention", heads),
        ]
        figures = [
            save_figure(line_panels([panel(TITLE, "loss, nats per token", losses, levels=levels)]), path / "loss"),
            save_figure(line_panels(stages, title=TITLE), path / "stages"),
        ]
        if (path / "two_layers" / LAST).exists():
            figures.append(draw_attention(path, options, validation))
        return figures


def draw_sequences(options: Options, *stream: int) -> tuple[ndarray, ndarray]:
    """Sequences (n, length) of a stream, and their chains. Streams: (0, step) trains, (1,) validates, (2,) tests."""
    n = {0: options.batch, 1: options.validation, 2: options.tests}[stream[0]]
    return markov_sequences(n, options.length, np.random.default_rng([options.seed, *stream]))


def batches_of(sequences: ndarray, options: Options) -> list[TokenBatch]:
    """Batches as large as those of a step, which ask for each token but the first, from those before it."""
    targets = sequences.copy()
    targets[:, 0] = -100
    ids = np.concatenate([np.full((len(sequences), 1), BEGIN), sequences[:, :-1]], axis=1)
    first = 0 if options.beginning else 1
    whole = TokenBatch(ids[:, first:], targets[:, first:])
    return whole.split(math.ceil(len(sequences) / options.batch))


def nats(predicted: ndarray, sequences: ndarray) -> float:
    """The mean of -ln of the probability of the actual token, over sequences and all tokens but the first."""
    return float(-np.log(np.take_along_axis(predicted, sequences[:, 1:, None], axis=-1)).mean())


def probabilities(model: AttentionOnly, sequences: ndarray, options: Options) -> ndarray:
    """A model's probabilities of each token but the first, (n, length - 1, 2), in float64."""
    parts = [model(batch.ids)[0] for batch in batches_of(sequences, options)]
    return softmax(np.concatenate(parts)[:, 1 - sequences.shape[1] :].astype(np.float64))[0]


def make_model(arm: str, options: Options) -> AttentionOnly:
    return AttentionOnly(ARMS[arm], options.width, generator=np.random.default_rng([options.seed, 3]))


def measure(arm: str, model: AttentionOnly, sequences: ndarray, options: Options) -> dict[str, float]:
    """Loss and divergence from both strategies, in nats, and what the first and the last layer attend to.

    The divergence is the mean of sum_i s_i ln(s_i / p_i), of the strategy's s from the model's p.
    """
    predicted = probabilities(model, sequences, options)
    found = {f"{arm}_loss": nats(predicted, sequences)}
    for name, strategy in STRATEGIES.items():
        s = strategy(sequences)
        found[f"{arm}_from_{name}"] = float((s * np.log(s / predicted)).sum(axis=-1).mean())
    ids = batches_of(sequences, options)[0].ids
    weights = attention(model, ids)
    found[f"{arm}_previous_token"] = float(previous_token_score(weights[0]).mean())
    found[f"{arm}_induction"] = float(induction_score(weights[-1], ids).mean())
    return found


def attention(model: AttentionOnly, ids: ndarray) -> list[ndarray]:
    """The attention weights of each layer, (..., 1, T, T)."""
    trace = Trace("*.weights")
    with np.errstate(all="ignore"):
        model(ids, trace=trace)
    return list(trace.values())


def print_predictions(predicted: dict[str, ndarray], sequences: ndarray, matrices: ndarray) -> None:
    """Prints the probability of the last token of a few sequences, by the chain, by counting and by the models."""
    length = sequences.shape[1]
    print(f"\nprobability that token {length} is b, after {length - 1} tokens")
    print("the last is  in the chain  unigram  bigram  two layers  one layer")
    counted = [strategy(sequences[:6])[:, -1, 1] for strategy in STRATEGIES.values()]
    for i, state in enumerate(sequences[:6, -2]):
        guesses = [*(found[i] for found in counted), *(predicted[arm][i, -1, 1] for arm in ARMS)]
        row = "{:>11}  {:12.3f}  {:7.3f}  {:6.3f}  {:10.3f}  {:9.3f}"
        print(row.format(STATES[state], matrices[i, state, 1], *guesses))


def draw_attention(path: Path, options: Options, sequences: ndarray) -> Path:
    """Draws the attention of both layers before and after training, over a sequence that has every transition early."""
    begins = sequences[:, :-1][:, : SHOWN - 1]
    transitions = (2 * begins[:, :-1] + begins[:, 1:])[..., None] == np.arange(4)
    example = transitions.sum(axis=1).min(axis=-1).argmax()
    ids = batches_of(sequences[example : example + 1], options)[0].ids[0, :SHOWN]
    models = make_model("two_layers", options), load(path / "two_layers" / LAST, make_model("two_layers", options))
    weights = np.stack([np.concatenate(attention(model, ids)) for model in models], axis=1)
    names = ["begin" if token == BEGIN else STATES[token] for token in ids]
    keys = [names[0], *(f"{before}→{name}" for before, name in pairwise(names))]
    figure = attention_maps(
        weights,
        names,
        keys,
        allowed=np.tri(len(ids), dtype=bool),
        head_names=["before training", "after training"],
        title="Keys are named with the token before them: a→b is a b that followed an a",
    )
    return save_figure(figure, path / "attention")


if __name__ == "__main__":
    run_experiment(InContextMarkov)
