"""Does attention learn to count in context, and does it do so in stages?

Source: Edelman et al., "The Evolution of Statistical Induction Heads: In-Context Learning Markov Chains", 2024
(arXiv:2402.11004). Each sequence of 100 tokens comes from a Markov chain of its own: 2 states, rows of the transition
matrix from Dirichlet(1, 1), the first state from the stationary distribution. The model has nothing but attention: two
layers of one head and width 16, scores with a bias by distance. A control has one layer.

Guessing, counting states (unigrams) and transitions (bigrams) cost 0.693, 0.577 and 0.511 nats per token: means
over tokens 2 to 100 of a million sequences, where counts start at 1. Add-one bigrams are the mean of the posterior of
the chain. What the first state tells of it beyond would save another 0.001.

A token marks the beginning, other than in the source: attention that rests on it counts for less, as counts that start
at 1 do. Without it (`--no-beginning`) attention is a mean of what followed, however often that was, and the best logits
that are linear in it stay 0.012 above the optimum.

Expected: two layers rest where unigrams are counted for at least 100 steps, then come within 0.01 nats of the optimum;
one layer stays at least 0.03 above it. `quick` takes a minute on two cores, `paper`, with four times the steps at a
third of the learning rate, four minutes, `smoke` a few seconds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.analysis.attention_patterns import induction_score, previous_token_score
from scratchformer.layers import AttentionConfig, Embedding, Layer, Linear, MultiHeadAttention, RelativeBias, Trace
from scratchformer.layers.trace import NO_TRACE
from scratchformer.ops import Backward, cross_entropy, softmax
from scratchformer.optim import AdamW, WarmupCosine
from scratchformer.plots import Line, Panel, attention_maps, line_panels, save_figure
from scratchformer.recipes.arms_in_turn import read_arms, train_arm
from scratchformer.recipes.options import RunOptions
from scratchformer.runs import (
    About,
    Curves,
    Result,
    RunFolder,
    begin_run,
    check_option,
    check_run,
    conclude,
    is_as,
    one_sentence_errors,
    options_of,
    parse,
    read_options,
    reference_curves,
    run_script,
)
from scratchformer.text import TokenBatch
from scratchformer.text.markov import bigram, markov_sequences, unigram
from scratchformer.training import LAST, Trainer, load, next_token_loss

PROG = "in_context_markov.py"
ABOUT = About(
    script=__file__,
    description=__doc__,
    source="Edelman et al., The Evolution of Statistical Induction Heads, 2024",
    published="the loss rests where unigrams are counted, then falls to the Bayes-optimal bigram",
    picture="loss.png",
)
ARMS = {"two_layers": 2, "one_layer": 1}
STATES, BEGIN = "ab", 2
STRATEGIES = {"unigram": unigram, "bigram": bigram}
SHOWN = 24
"""Tokens of the example whose attention is drawn."""


@dataclass(frozen=True)
class Config(RunOptions):
    """Options of the run."""

    beginning: bool = True
    """Whether a token marks the beginning of a sequence, on which attention can rest."""
    length: int = 100
    """Tokens of a sequence."""
    width: int = 16
    """Features of the residual stream, and of queries, keys and values."""

    steps: int = 2000
    """Training steps of each model: updates of the weights."""
    batch: int = 64
    """Sequences per step, drawn anew for each."""
    learning_rate: float = 1e-3
    """Peak of the schedule, which then falls to a tenth along a cosine."""
    warmup: int = 50
    """Updates of linear rise to the peak."""
    evaluate_every: int = 20
    """Updates between evaluations."""
    save_every: int = 250
    """Updates between checkpoints."""
    validation: int = 256
    """Sequences that the curves are measured on."""
    tests: int = 2000
    """Other sequences, that the verdict is measured on."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""
        for name in ("seed", "warmup"):
            check_option(name, getattr(self, name), at_least=0)
        for name in ("threads", "width", "steps", "batch", "evaluate_every", "save_every", "validation", "tests"):
            check_option(name, getattr(self, name), at_least=1)
        check_option("length", self.length, at_least=4)
        check_option("learning_rate", self.learning_rate, above=0, below=math.inf)
        if self.warmup >= self.steps:
            raise ValueError(f"--warmup {self.warmup} must be less than --steps {self.steps}")
        check_run(self)


PRESETS = {
    "quick": Config(),
    "paper": Config(preset="paper", steps=8000, learning_rate=3e-4, evaluate_every=50),
    "smoke": Config(
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
        distances: dict[str, Any] = {"num_buckets": 32, "max_distance": 128, "bidirectional": False}
        self.biases = [RelativeBias(1, **distances, generator=generator) for _ in range(num_layers)]
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
            record(inner, residual=x)
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

    def loss(self, ids: ndarray, targets: ndarray, *, generator: object, trace: Trace) -> tuple[Any, Backward]:
        """The mean cross-entropy over the targets that count, in nats, and `backward(dloss)`."""
        logits, logits_backward = self(ids, trace=trace)
        loss, loss_backward = cross_entropy(logits, targets)
        return loss, lambda dloss=1.0: logits_backward(loss_backward(dloss))


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        config = parse(PRESETS, prog=PROG, description=__doc__, arguments=arguments)
        if config.plot_only is not None:
            print("figures:", *draw(config.plot_only))
            return
        config.check()
        folder = begin_run(config, ABOUT.name, {"options": options_of(config)})
    print(f"results in {folder.path}")
    models, seconds = {}, 0.0
    for arm in ARMS:
        models[arm], taken = train(arm, config, folder)
        seconds += taken
    tests, matrices = draw_sequences(config, 2)
    predicted = {arm: probabilities(model, tests, config) for arm, model in models.items()}
    print_predictions(predicted, tests, matrices)
    results = judge(config, predicted, tests, read_arms(folder.path, ARMS))
    conclude(folder, ABOUT, config, results, seconds if config.resume is None else None)
    with one_sentence_errors(PROG):
        print("figures:", *draw(folder.path))


def draw_sequences(config: Config, *stream: int) -> tuple[ndarray, ndarray]:
    """Sequences (n, length) for step s from stream (0, s), for validation from 1, for the test from 2; their chains."""
    n = {0: config.batch, 1: config.validation, 2: config.tests}[stream[0]]
    return markov_sequences(n, config.length, np.random.default_rng([config.seed, *stream]))


def batches_of(sequences: ndarray, config: Config) -> list[TokenBatch]:
    """Each token but the first is to be predicted from those before it; in batches as large as those of a step."""
    targets = sequences.copy()
    targets[:, 0] = -100
    ids = np.concatenate([np.full((len(sequences), 1), BEGIN), sequences[:, :-1]], axis=1)
    first = 0 if config.beginning else 1
    whole = TokenBatch(ids[:, first:], targets[:, first:])
    return whole.split(math.ceil(len(sequences) / config.batch))


def nats(predicted: ndarray, sequences: ndarray) -> float:
    """The mean of -ln of the probability of what came, over sequences and all tokens but the first."""
    return float(-np.log(np.take_along_axis(predicted, sequences[:, 1:, None], axis=-1)).mean())


def probabilities(model: AttentionOnly, sequences: ndarray, config: Config) -> ndarray:
    """What a model predicts for each token but the first, (n, length - 1, 2), in float64."""
    parts = [model(batch.ids)[0] for batch in batches_of(sequences, config)]
    return softmax(np.concatenate(parts)[:, 1 - sequences.shape[1] :].astype(np.float64))[0]


def make_model(arm: str, config: Config) -> AttentionOnly:
    return AttentionOnly(ARMS[arm], config.width, generator=np.random.default_rng([config.seed, 3]))


def train(arm: str, config: Config, folder: RunFolder) -> tuple[AttentionOnly, float]:
    """The trained model of one arm, and the seconds that it took."""
    model = make_model(arm, config)
    trainer = Trainer(
        model,
        AdamW(model, betas=(0.9, 0.99), weight_decay=0.0),
        WarmupCosine(config.learning_rate, config.learning_rate / 10, config.warmup, config.steps),
        next_token_loss,
        max_norm=1.0,
        num_workers=config.threads,
        seed=config.seed,
    )
    validation, _ = draw_sequences(config, 1)

    def batches(step: int) -> list[TokenBatch]:
        return batches_of(draw_sequences(config, 0, step)[0], config)

    print(f"\n{arm.replace('_', ' ')}: {model.values.size:,} parameters, {config.threads} threads", flush=True)
    measured = partial(measure, arm, model, validation, config)
    place: dict[str, Any] = {"folder": folder, "config": config, "prog": PROG}
    return model, train_arm(arm, trainer, batches, batches_of(validation, config), measured, **place)


def measure(arm: str, model: AttentionOnly, sequences: ndarray, config: Config) -> dict[str, float]:
    """Loss and divergence from both strategies, in nats, and what the first and the last layer attend to.

    The divergence is the mean of sum_i s_i ln(s_i / p_i), of the strategy's s from the model's p.
    """
    predicted = probabilities(model, sequences, config)
    found = {f"{arm}_loss": nats(predicted, sequences)}
    for name, strategy in STRATEGIES.items():
        s = strategy(sequences)
        found[f"{arm}_from_{name}"] = float((s * np.log(s / predicted)).sum(axis=-1).mean())
    ids = batches_of(sequences, config)[0].ids
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
    """What the chain, counting and the models say of the last token of a few sequences."""
    length = sequences.shape[1]
    print(f"\nprobability that token {length} is b, after {length - 1} tokens")
    print("the last is  in the chain  unigram  bigram  two layers  one layer")
    counted = [strategy(sequences[:6])[:, -1, 1] for strategy in STRATEGIES.values()]
    for i, state in enumerate(sequences[:6, -2]):
        guesses = [*(found[i] for found in counted), *(predicted[arm][i, -1, 1] for arm in ARMS)]
        row = "{:>11}  {:12.3f}  {:7.3f}  {:6.3f}  {:10.3f}  {:9.3f}"
        print(row.format(STATES[state], matrices[i, state, 1], *guesses))


def judge(config: Config, predicted: dict[str, ndarray], tests: ndarray, measured: Curves) -> list[Result]:
    """What the run found, with targets for the settings that they were stated for."""
    is_judged = any(is_as(config, PRESETS[name], "save_every") for name in ("quick", "paper"))
    optimum = nats(bigram(tests), tests)
    above = {arm: nats(found, tests) - optimum for arm, found in predicted.items()}
    _, losses = measured["two_layers_loss"]
    validation, _ = draw_sequences(config, 1)
    rests = abs(losses - nats(unigram(validation), validation)) <= 0.02
    results = [
        Result("two_layers_above_optimum_nats", above["two_layers"], 0.01),
        Result("one_layer_above_optimum_nats", above["one_layer"], 0.03, "higher"),
        Result("steps_within_0.02_of_unigrams", int(rests.sum()) * config.evaluate_every, 100, "higher"),
    ]
    return results if is_judged else [replace(result, target=None) for result in results]


def draw(path: Path) -> list[Path]:
    """Draws all that a run folder holds the data of: losses, stages, and the attention over an example."""
    try:
        config = Config(**read_options(path, ABOUT.name))
        config.check()
    except TypeError:
        raise ValueError(f"{path} is not a run folder of this program") from None
    measured, reference = read_arms(path, ARMS), reference_curves(__file__, config.preset)
    validation, _ = draw_sequences(config, 1)
    levels = {name: nats(strategy(validation), validation) for name, strategy in STRATEGIES.items()}
    levels = {f"{name} {level:.3f}": level for name, level in ({"uniform": math.log(2)} | levels).items()}

    def panel(title: str, unit: str, names: dict[str, str], **options: Any) -> Panel:
        lines = [Line("reference run", *reference[name], "behind") for name in names if name in reference]
        lines += [Line(label, *measured[name]) for name, label in names.items() if name in measured]
        return Panel(title, "training step", unit, lines, log_x=True, **options)

    losses = {f"{arm}_loss": arm.replace("_", " ") for arm in ARMS}
    divergences = {f"two_layers_from_{name}": f"{name}s" for name in STRATEGIES}
    heads = {"two_layers_previous_token": "layer 1: token before", "two_layers_induction": "layer 2: after same state"}
    stages = [
        panel("two layers' distance from counting", "divergence, nats per token", divergences, log_y=True),
        panel("what two layers attend to", "share of attention", heads),
    ]
    figures = [
        save_figure(line_panels([panel("", "loss, nats per token", losses, levels=levels)]), path / "loss"),
        save_figure(line_panels(stages), path / "stages"),
    ]
    if (path / "two_layers" / LAST).exists():
        figures.append(draw_attention(path, config, validation))
    return figures


def draw_attention(path: Path, config: Config, sequences: ndarray) -> Path:
    """The attention of both layers before and after training, over a sequence that begins with every transition."""
    begins = sequences[:, :-1][:, : SHOWN - 1]
    transitions = (2 * begins[:, :-1] + begins[:, 1:])[..., None] == np.arange(4)
    example = transitions.sum(axis=1).min(axis=-1).argmax()
    ids = batches_of(sequences[example : example + 1], config)[0].ids[0, :SHOWN]
    models = make_model("two_layers", config), load(path / "two_layers" / LAST, make_model("two_layers", config))
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
    run_script(main, PROG)
