"""Does an encoder-decoder whose every gradient was derived by hand learn to reverse what it reads?

Sequences of 1 to 12 letters, drawn anew for every step, are read by the encoder, and the decoder writes them from
last to first. The model is that of "Attention Is All You Need" (Vaswani et al., 2017), but small: post-norm, sinusoidal
positions, one table for all embeddings, label smoothing, its schedule of learning rates. After training a beam search
reverses sequences that were not drawn before, with a moving average of the weights.

Expected: at least 99 % of 1,000 fresh sequences exactly right. The default preset takes about two minutes on two cores,
`smoke` a few seconds.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scratchformer.generation import beam_search
from scratchformer.layers import Trace
from scratchformer.models import Transformer, TransformerConfig
from scratchformer.optim import AdamW, WarmupInverseSquareRoot, WeightAverage
from scratchformer.runs import (
    Recorder,
    begin_run,
    check_option,
    check_run,
    draw_losses,
    draw_norms,
    one_sentence_errors,
    options_of,
    parse,
    run_script,
    run_training,
    summarize,
)
from scratchformer.text import PairBatch, pair_batch
from scratchformer.training import Trainer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
BEGIN, END = len(LETTERS), len(LETTERS) + 1
LONGEST = 12


@dataclass(frozen=True)
class Config:
    """Options of the run."""

    preset: Literal["default", "smoke"] = "default"
    """Where the other options start from: what reaches the target, or a run of a few seconds."""
    out: Path | None = None
    """Folder for the results, new or empty; without one, the next free runs/reverse-NNN."""
    resume: Path | None = None
    """Run folder to go on with, bit for bit, from its last checkpoint; its own options apply."""
    seed: int = 0
    """Seed of initialisation, sequences and dropout."""
    threads: int = 2
    """Worker threads; each takes a share of every batch."""

    layers: int = 2
    """Transformer blocks of the encoder, and of the decoder."""
    heads: int = 4
    """Attention heads per block; must divide the width."""
    width: int = 64
    """Features of the residual streams; even."""
    dropout: float = 0.0
    """Probability of dropping an element, in [0, 1)."""
    norm_first: bool = False
    """Pre-norm instead of the published post-norm."""

    steps: int = 2000
    """Training steps: updates of the weights."""
    batch: int = 64
    """Sequences per step."""
    warmup: int = 400
    """Updates of linear rise of the learning rate, which then falls with the root of the step."""
    rate_factor: float = 1.0
    """Factor of the schedule."""
    average: float = 0.98
    """Decay of the moving average of the weights that is evaluated, tested and saved; 0 for the last weights."""
    label_smoothing: float = 0.1
    """Share of the target's probability that is spread over all tokens, in [0, 1)."""
    evaluate_every: int = 200
    """Updates between evaluations."""
    save_every: int = 200
    """Updates between checkpoints."""
    beam: int = 4
    """Hypotheses that the beam search keeps."""
    tests: int = 1000
    """Fresh sequences to reverse after training."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""
        check_option("seed", self.seed, at_least=0, below=math.inf)
        sizes = ("threads", "layers", "heads", "width", "steps", "batch", "warmup", "beam", "tests")
        for name in (*sizes, "evaluate_every", "save_every"):
            check_option(name, getattr(self, name), at_least=1)
        check_option("rate_factor", self.rate_factor, above=0, below=math.inf)
        for name in ("dropout", "label_smoothing", "average"):
            check_option(name, getattr(self, name), at_least=0, below=1)
        check_run(self)


PRESETS = {
    "default": Config(),
    "smoke": Config(preset="smoke", layers=1, width=32, steps=60, warmup=30, evaluate_every=30, tests=50, beam=2),
}


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors("reverse.py"):
        config = parse(PRESETS, prog="reverse.py", description=__doc__, arguments=arguments)
        config.check()
        sizes = (config.layers, config.heads, config.width, 4 * config.width, config.dropout, config.norm_first)
        model = Transformer(TransformerConfig(END + 1, *sizes), generator=np.random.default_rng(config.seed))

        def loss(model: Transformer, batch: PairBatch, generator: Any, trace: Trace | None) -> Any:
            arrays = batch.source, batch.target_ids, batch.targets
            options = {"label_smoothing": config.label_smoothing, "generator": generator, "trace": trace}
            return model.loss(*arrays, source_lengths=batch.source_lengths, **options)

        trainer = Trainer(
            model,
            AdamW(model, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.0),
            WarmupInverseSquareRoot(config.width, config.warmup, config.rate_factor),
            loss,
            max_norm=1.0,
            average=WeightAverage(model, config.average),
            num_workers=config.threads,
            seed=config.seed,
        )
        run = {"options": options_of(config)}
        folder = begin_run(config, "reverse", run)
        held_out = [batch_of(draw(np.random.default_rng([config.seed, 1, i]), config.batch)) for i in range(4)]
        recorder = Recorder(trainer, folder, run, held_out)

    print(f"model: {model.values.size:,} parameters, {config.threads} threads, results in {folder.path}", flush=True)

    def batches(step: int) -> list[PairBatch]:
        return [batch_of(draw(np.random.default_rng([config.seed, 0, step]), config.batch))]

    every = {"evaluate_every": config.evaluate_every, "save_every": config.save_every}
    with one_sentence_errors("reverse.py", status=1, kind=FloatingPointError):
        seconds = run_training(trainer, batches, recorder, num_steps=config.steps, **every)
    sources = draw(np.random.default_rng([config.seed, 2]), config.tests)
    with trainer.evaluated():
        reversed_by_model = reverse(model, sources, config.beam)
    right = [np.array_equal(found, source[::-1]) for found, source in zip(reversed_by_model, sources, strict=True)]
    for source, found in list(zip(sources, reversed_by_model, strict=True))[:5]:
        print(f"{in_letters(source)} -> {in_letters(found)}")
    target = 0.01 if config.preset == "default" else None
    errors = right.count(False) / len(right)
    summary = summarize("share_of_errors", errors, target, seconds if config.resume is None else None)
    folder.write_json("summary", summary)
    print(f"{sum(right)} of {len(right)} reversed exactly, by a beam of {config.beam}\n{json.dumps(summary)}")
    with one_sentence_errors("reverse.py"):
        title = "An encoder-decoder that reverses"
        figures = [
            draw_losses(folder.path, {}, unit="nats per letter", title=title),
            draw_norms(folder.path, title=title),
        ]
    print("figures:", *figures)


def draw(generator: np.random.Generator, count: int) -> list[np.ndarray]:
    """Sequences of letters, of every length equally often."""
    return [generator.integers(len(LETTERS), size=length) for length in generator.integers(1, LONGEST + 1, count)]


def batch_of(sources: Sequence[np.ndarray]) -> PairBatch:
    return pair_batch(sources, [source[::-1] for source in sources], begin_id=BEGIN, end_id=END)


def reverse(model: Transformer, sources: Sequence[np.ndarray], beam: int) -> list[np.ndarray]:
    """The best hypothesis of a beam search for each source."""
    found = []
    for start in range(0, len(sources), 100):
        part = sources[start : start + 100]
        batch = batch_of(part)
        cache = model.new_cache(batch.source, batch.source_lengths, capacity=LONGEST + 2)
        prompts = np.full((len(part), 1), BEGIN)
        options: dict[str, Any] = {"context_length": LONGEST + 2, "width": beam, "stop": {END}, "cache": cache}
        for beams in beam_search(model.decode, prompts, LONGEST + 1, **options):
            ids = beams[0].ids
            found.append(ids[ids != END])
    return found


def in_letters(ids: np.ndarray) -> str:
    return "".join(LETTERS[i] if i < len(LETTERS) else "?" for i in ids)


if __name__ == "__main__":
    run_script(main, "reverse.py")
