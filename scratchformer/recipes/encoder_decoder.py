"""An encoder-decoder that learns pairs of sequences: its options, its training, its characters and its losses."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchformer.arguments import checked_arguments
from scratchformer.generation.translation import translate
from scratchformer.layers import Trace
from scratchformer.models import Transformer, TransformerConfig
from scratchformer.optim import AdamW, WarmupInverseSquareRoot, WeightAverage
from scratchformer.plots import Figure, save_figure
from scratchformer.recipes.alignment import has_alignment, read_alignment
from scratchformer.recipes.options import (
    Average,
    Count,
    Dropout,
    EvaluateEvery,
    Heads,
    Positive,
    Probability,
    RunOptions,
    SaveEvery,
    Steps,
)
from scratchformer.runs.figures import draw_losses, draw_norms, reference_run
from scratchformer.runs.folder import load_run, read_config
from scratchformer.runs.summary import About
from scratchformer.text import CharacterTokenizer, PairBatch, pair_batch
from scratchformer.training import Trainer


@dataclass(frozen=True)
class PairOptions(RunOptions):
    """The options of an encoder-decoder, its training and its test."""

    layers: Count = 2
    """Transformer blocks of the encoder, and of the decoder."""
    heads: Heads = 4
    width: Count = 64
    """Features of the residual streams; even."""
    dropout: Dropout = 0.0
    norm_first: bool = False
    """Pre-norm instead of the published post-norm."""

    steps: Steps = 2000
    batch: Count = 64
    """Pairs per step."""
    warmup: Count = 400
    """Updates of linear rise of the learning rate, which then falls with the root of the step."""
    rate_factor: Positive = 1.0
    """Factor of the schedule."""
    average: Average = 0.98
    label_smoothing: Probability = 0.1
    """Share of the target's probability that is spread over all tokens, in [0, 1)."""
    evaluate_every: EvaluateEvery = 200
    save_every: SaveEvery = 200
    beam: Count = 4
    """Hypotheses that the beam search keeps."""
    tests: Count = 1000
    """Pairs that the trained model is tested on."""


@checked_arguments
def pair_trainer(options: PairOptions, vocabulary_size: int) -> Trainer[Transformer, PairBatch]:
    """The model of the paper, but small, and its training: Adam, the paper's learning rates, label smoothing.

    Raises ValueError for sizes that do not fit together.

    Source: Vaswani et al., "Attention Is All You Need", 2017, sections 3 and 5.3 to 5.4.
    """
    shape = (options.layers, options.heads, options.width, 4 * options.width, options.dropout, options.norm_first)
    model = Transformer(TransformerConfig(vocabulary_size, *shape), generator=np.random.default_rng(options.seed))

    label_smoothing = options.label_smoothing  # the loss is compared when a run is resumed, with all that it reads

    def loss(
        model: Transformer, batch: PairBatch, generator: np.random.Generator | None, trace: Trace
    ) -> tuple[Any, Any]:
        return model.loss(
            batch.source,
            batch.target_ids,
            batch.targets,
            source_lengths=batch.source_lengths,
            label_smoothing=label_smoothing,
            generator=generator,
            trace=trace,
        )

    return Trainer(
        model,
        AdamW(model, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.0),
        WarmupInverseSquareRoot(options.width, options.warmup, options.rate_factor),
        loss,
        max_norm=1.0,
        average=WeightAverage(model, options.average),
        num_workers=options.threads,
        seed=options.seed,
    )


@checked_arguments
def load_encoder_decoder(path: Path) -> Transformer:
    """The best model of a run folder. Raises ValueError as `load_run` does, and for another kind of model."""
    model = load_run(path)
    if not isinstance(model, Transformer):
        raise ValueError(f"{path} does not hold an encoder-decoder")
    return model


@checked_arguments
def draw_pairs(
    path: Path,
    about: About,
    vocabulary_size: int,
    draw_attention: Callable[[Transformer, tuple[int, int], int], Figure],
    *,
    unit: str,
    title: str,
) -> list[Path]:
    """Draws the loss and the norms of a run and, if it has ended, what the best head of its best model attends to.

    Args:
        path: of the run's folder.
        about: the experiment.
        vocabulary_size: number of distinct tokens, on which the least possible loss depends.
        draw_attention: draws cross-attention, by the model, the layer and head of the best head, and the run's seed.
        unit: of the loss.
        title: of loss and norms.

    Raises ValueError for a folder of something else.
    """
    options = read_config(path, about.name, PairOptions)
    levels = {"least possible": least_smoothed_loss(vocabulary_size, options.label_smoothing)}
    reference, is_averaged = reference_run(about.script, options.preset), options.average > 0
    losses = draw_losses(path, levels, reference, is_averaged=is_averaged, unit=unit, title=title)
    figures = [losses, draw_norms(path, title=title)]
    if has_alignment(path):
        maps = draw_attention(load_encoder_decoder(path), read_alignment(path).best_head, options.seed)
        figures.append(save_figure(maps, path / "attention"))
    return figures


@checked_arguments
def least_smoothed_loss(vocabulary_size: int, label_smoothing: float) -> float:
    """The least possible mean loss with label smoothing, in nats per token: the entropy of the smoothed targets.

    H(q) with q = 1 - s + s / V for the target and s / V for each of the V - 1 others.
    """
    if vocabulary_size < 1 or not 0 <= label_smoothing <= 1:
        raise ValueError(
            "least_smoothed_loss: vocabulary_size must be at least 1, and label_smoothing in [0, 1], "
            f"got {vocabulary_size} and {label_smoothing}"
        )
    other = label_smoothing / vocabulary_size
    probabilities = [1 - label_smoothing + other, *[other] * (vocabulary_size - 1)]
    return -sum(p * math.log(p) for p in probabilities if p)


@checked_arguments
@dataclass(frozen=True)
class CharacterPairs:
    """Turns pairs of texts into ids. Each character has one, and so have the beginning and the end of a target.

    Args:
        characters: the distinct characters of sources and targets.
    """

    characters: str

    @property
    def begin_id(self) -> int:
        return len(self.characters)

    @property
    def end_id(self) -> int:
        return len(self.characters) + 1

    @property
    def vocabulary_size(self) -> int:
        return len(self.characters) + 2

    @checked_arguments
    def batch(self, sources: Sequence[str], targets: Sequence[str]) -> PairBatch:
        """The batch of these pairs. Raises ValueError for an unknown character, and as `pair_batch` does."""
        encode = CharacterTokenizer(self.characters).encode
        ends = {"begin_id": self.begin_id, "end_id": self.end_id}
        return pair_batch([encode(text) for text in sources], [encode(text) for text in targets], **ends)

    @checked_arguments
    def translate(self, model: Transformer, sources: Sequence[str], *, longest: int, width: int) -> list[str]:
        """The best target of at most `longest` characters for each source, with "?" for a begin token inside it."""
        tokenizer = CharacterTokenizer(self.characters)
        ends = {"begin_id": self.begin_id, "end_id": self.end_id}
        ids = [tokenizer.encode(text) for text in sources]
        found = translate(model, ids, num_tokens=longest + 1, width=width, **ends)
        return ["".join([*self.characters, "?"][i] for i in target) for target in found]
