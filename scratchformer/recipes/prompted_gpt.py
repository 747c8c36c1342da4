"""A GPT that learns to answer prompts: its options, its training, and the figure of its answers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchformer.arguments import checked_arguments
from scratchformer.models import GPT, GPTConfig
from scratchformer.optim import AdamW, WarmupCosine, WeightAverage
from scratchformer.plots import Line, Panel, line_panels, save_figure
from scratchformer.recipes.options import (
    Average,
    Clip,
    Count,
    Dropout,
    EvaluateEvery,
    FinalRate,
    Heads,
    Layers,
    PeakRate,
    Probability,
    RunOptions,
    SaveEvery,
    Steps,
    Warmup,
    WeightDecay,
    Width,
)
from scratchformer.runs.figures import draw_losses, draw_norms, reference_curves, reference_run
from scratchformer.runs.files import read_measures
from scratchformer.runs.folder import read_options
from scratchformer.runs.summary import About
from scratchformer.text import TokenBatch
from scratchformer.training import Trainer, next_token_loss


@dataclass(frozen=True)
class PromptedOptions(RunOptions):
    """The options of a GPT that answers prompts, and of its training."""

    layers: Layers = 2
    heads: Heads = 4
    width: Width = 128
    dropout: Dropout = 0.0

    steps: Steps = 2000
    batch: Count = 128
    """Prompts with their answers per step."""
    learning_rate: PeakRate = 1e-3
    final_learning_rate: FinalRate = 0.0
    warmup: Warmup = 0
    betas: tuple[Probability, Probability] = (0.9, 0.95)
    """AdamW's decay rates of the gradient's mean and of its square."""
    weight_decay: WeightDecay = 0.1
    clip: Clip = 1.0
    average: Average = 0.0
    evaluate_every: EvaluateEvery = 100
    save_every: SaveEvery = 500


@checked_arguments
def prompted_trainer(options: PromptedOptions, vocabulary_size: int, context_length: int) -> Trainer[GPT, TokenBatch]:
    """A GPT with an output head of its own, and its training on `prompted_batch`es."""
    sizes = (context_length, options.layers, options.heads, options.width, options.dropout)
    generator = np.random.default_rng(options.seed)
    model = GPT(GPTConfig(vocabulary_size, *sizes, tied_head=False), generator=generator)
    return Trainer(
        model,
        AdamW(model, betas=options.betas, weight_decay=options.weight_decay),
        WarmupCosine(options.learning_rate, options.final_learning_rate, options.warmup, options.steps),
        next_token_loss,
        max_norm=options.clip,
        average=WeightAverage(model, options.average),
        num_workers=options.threads,
        seed=options.seed,
    )


@checked_arguments
def draw_answers(
    path: Path, about: About, panels: Mapping[str, Iterable[str]], *, share: str, title: str
) -> list[Path]:
    """Draws the shares of answers that are right by step, the loss and the norms of a run.

    Args:
        path: of the run's folder.
        about: the experiment; the shares are drawn as its picture.
        panels: names of the measures that a panel shows, by the panel's title. The measure "held out" is drawn over
            that of the reference run.
        share: label of the vertical axis, such as "share sorted exactly".
        title: of all figures.
    """
    options = read_options(path, about.name)
    curves, earlier = read_measures(path / "measures.csv"), reference_curves(about.script, options["preset"])

    def panel(heading: str, names: list[str]) -> Panel:
        behind = [name for name in names if name == "held out" and name in earlier]
        lines = [Line("reference run", *earlier[name], "behind") for name in behind]
        lines += [Line(name, *curves[name]) for name in names if name in curves]
        return Panel(heading, "training step", share, lines, log_x=True)

    figure = line_panels([panel(heading, list(names)) for heading, names in panels.items()], share_y=True, title=title)
    shares = save_figure(figure, path / Path(about.picture).stem)
    reference, is_averaged = reference_run(about.script, options["preset"]), bool(options.get("average"))
    losses = draw_losses(path, {}, reference, is_averaged=is_averaged, unit="nats per digit", title=title)
    return [shares, losses, draw_norms(path, title=title)]
