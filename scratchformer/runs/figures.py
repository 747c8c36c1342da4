"""The figures of a training run: its losses, the norms of its layers, and what its model attends to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.analysis.norms import ACTIVATION, GRADIENT
from scratchformer.arguments import checked_arguments
from scratchformer.layers import Trace
from scratchformer.reading import shown
from scratchformer.runs.files import Curve, Curves, is_finite_number, read_json, read_measures, read_metrics, read_norms
from scratchformer.runs.folder import load_run, read_run
from scratchformer.text.corpora import shown_name
from scratchformer.training import BEST


@checked_arguments
@dataclass(frozen=True)
class ReferenceRun:
    """The validation loss of another run, to be drawn in grey. config.json keeps its fields."""

    name: str
    steps: list[int]
    losses: list[float]

    @classmethod
    @checked_arguments
    def of_curve(cls, name: str, curve: Curve) -> "ReferenceRun":
        """Makes a reference run of a curve of validation losses."""
        steps, losses = curve
        return cls(name, steps.tolist(), losses.tolist())

    @classmethod
    def of_json(cls, content: Any) -> "ReferenceRun":
        """The reference run that a config.json holds. Raises ValueError where it holds none."""
        match content:
            case {"name": str(name), "steps": list(steps), "losses": list(losses)} if (
                len(content) == 3
                and len(steps) == len(losses)
                and all(type(step) is int and 0 <= step < 2**62 for step in steps)
                and all(before < after for before, after in pairwise(steps))
                and all(map(is_finite_number, losses))
            ):
                return cls(name, steps, losses)
        raise ValueError(f"reference_run is {shown(content)}, expected a name, rising steps, and as many finite losses")


@checked_arguments
def reference_curves(script: str, preset: str) -> Curves:
    """The curves of an experiment's reference run, which later runs show in grey; none for the preset smoke.

    They lie beside the script: those of the same preset in reference/NAME-PRESET.csv, or else those of the preset paper
    in reference/NAME.csv. Raises ValueError when the file cannot be read.
    """
    folder, name = Path(script).parent / "reference", Path(script).stem
    paths = [] if preset == "smoke" else [folder / f"{name}-{preset}.csv", folder / f"{name}.csv"]
    return next((read_measures(path) for path in paths if path.exists()), {})


@checked_arguments
def is_of_text(script: str, sha256: str) -> bool:
    """Whether an experiment's reference run learned from the text of this hash, which reference/texts.json keeps.

    The embedded text differs between versions of Python. Raises ValueError when the file cannot be read.
    """
    path = Path(script).parent / "reference" / "texts.json"
    texts = read_json(path) if path.exists() else {}
    return isinstance(texts, dict) and texts.get(Path(script).stem, sha256) == sha256


@checked_arguments
def reference_run(script: str, preset: str, sha256: str | None = None) -> ReferenceRun | None:
    """The validation loss of an experiment's reference run; None where `reference_curves` has none.

    None as well where `sha256` is the hash of a text, and that run learned from another one.
    """
    curves = reference_curves(script, preset)
    if "validation_loss" not in curves or (sha256 is not None and not is_of_text(script, sha256)):
        return None
    return ReferenceRun.of_curve("reference run", curves["validation_loss"])


@checked_arguments
def comparable_run(folder: Path, sha256: str) -> ReferenceRun:
    """The validation loss of a run on the text of this hash.

    Raises ValueError when the run learned from another text, or was not evaluated yet.
    """
    corpus = read_run(folder, "corpus")["corpus"]
    if not isinstance(corpus, dict) or corpus.get("sha256") != sha256:
        raise ValueError(f"{folder} learned from another text, its losses cannot be compared with these")
    curve = read_metrics(folder / "metrics.csv")["validation_loss"]
    if not len(curve[0]):
        raise ValueError(f"{folder} has no validation loss to compare with")
    return ReferenceRun.of_curve(shown_name(folder), curve)


@checked_arguments
def draw_losses(
    folder: Path,
    levels: Mapping[str, float],
    reference: ReferenceRun | None = None,
    *,
    is_averaged: bool = False,
    unit: str,
    title: str,
) -> Path:
    """Draws a run's metrics.csv as loss.png and loss.svg in its folder.

    Args:
        folder: of the run.
        levels: losses to compare with, by name; horizontal lines.
        reference: a run to compare with.
        is_averaged: whether averages of the weights were evaluated.
        unit: of the loss.
        title: of the figure.

    Returns:
        the path of loss.png.
    """
    from scratchformer.plots import loss_curve, save_figure  # here, as matplotlib takes half of a program's start

    metrics = read_metrics(folder / "metrics.csv")
    grey = None if reference is None else (reference.name, np.array(reference.steps), np.array(reference.losses))
    curves = *metrics["training_loss"], *metrics["validation_loss"]
    figure = loss_curve(*curves, levels, reference_run=grey, is_averaged=is_averaged, unit=unit, title=title)
    return save_figure(figure, folder / "loss")


@checked_arguments
def draw_norms(folder: Path, *, title: str) -> Path:
    """Draws a run's norms.csv as norms.png and norms.svg in its folder; returns the first one's path."""
    from scratchformer.plots import norm_curves, save_figure

    curves = read_norms(folder / "norms.csv")
    whole = min((len(steps) for steps, _ in curves.values()), default=0)  # a kill may have cut the last step off
    steps = next((steps[:whole] for steps, _ in curves.values()), np.array([], np.int64))
    gradients, activations = (
        {_in_words(layer): norms[:whole] for (kind, layer), (_, norms) in curves.items() if kind == quantity}
        for quantity in (GRADIENT, ACTIVATION)
    )
    return save_figure(norm_curves(steps, gradients, activations, title=title), folder / "norms")


@checked_arguments
def draw_attention(folder: Path, ids: ndarray, tokens: Sequence[str], *, title: str) -> list[Path]:
    """Draws the attention maps of a run's best model, a causal one, as attention.png and attention.svg in its folder.

    Args:
        folder: of the run.
        ids: of the text that the model reads.
        tokens: what the maps call its tokens.
        title: of the figure.

    Returns:
        the path of attention.png; none for a run that was killed before its first evaluation.
    """
    from scratchformer.plots import attention_maps, save_figure

    if not (folder / BEST).exists():
        return []
    model: Any = load_run(folder)
    trace = Trace("*.attention.weights")
    with np.errstate(all="ignore"):
        model(ids, trace=trace)
    weights = np.stack(list(trace.values()))
    allowed = np.tri(len(ids), dtype=bool)
    return [save_figure(attention_maps(weights, tokens, allowed=allowed, title=title), folder / "attention")]


def _in_words(layer: str) -> str:
    """Names a layer for readers: `blocks.0` is "layer 1", `decoder.0` "decoder layer 1", `norm` "last norm"."""
    first, _, index = layer.partition(".")
    if index.isdigit():
        stack = "" if first == "blocks" else f"{first} "
        return f"{stack}layer {int(index) + 1}"
    return "last norm" if first == "norm" else first.replace("_", " ")
