"""Valid calls of what `scratchformer.recipes` has."""

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from scratchformer import runs, training
from scratchformer.analysis.alignment import Alignment
from scratchformer.recipes import alignment, encoder_decoder, head_maps, language_model, prompted_gpt, text_runs
from tests.malformed.recipes.call import Recipe, method, new, weights
from tests.malformed.recipes.models import transformer

NUMBERS = count()
MEASURED = Path("measured")
OPTIONS = {"preset": "smoke"}


def folder() -> runs.RunFolder:
    return runs.RunFolder(Path(f"recipe-{next(NUMBERS)}"), "a")


def write_runs() -> None:
    """Writes a run folder with the tables of heads and of alignment, and with the model that it trained."""
    made = runs.RunFolder(MEASURED, "a")
    head_maps.write_tables(made, HEADS, scores(), np.eye(3))
    alignment.write_alignment(made, aligned())
    made.write_json(
        "config", {"experiment": "a", "options": OPTIONS, "title": "b", "references": {}, "reference_run": None}
    )
    training.save(MEASURED / "best.safetensors", transformer(), run={"options": OPTIONS})


def scores() -> dict[str, np.ndarray]:
    return {name: np.full(3, 0.5) for name in head_maps.MEASURES}


def aligned() -> Alignment:
    return Alignment({"a": np.full((2, 2), 0.5)}, {"a": 0.5})


def pairs() -> encoder_decoder.CharacterPairs:
    return encoder_decoder.CharacterPairs("ab")


def text_figures() -> text_runs.TextFigures:
    return text_runs.TextFigures("a", {"b": 1.0}, None)


HEADS = [(1, 1), (1, 2)]
SMALL: dict[str, Any] = {"preset": "smoke", "layers": 1, "heads": 2, "width": 4, "threads": 1}
RECIPES: dict[str, Recipe] = {
    "alignment_results": new(alignment, "alignment_results", alignment=lambda: aligned()),
    "write_alignment": new(alignment, "write_alignment", folder=lambda: folder(), alignment=lambda: aligned()),
    "has_alignment": new(alignment, "has_alignment", path=MEASURED),
    "read_alignment": new(alignment, "read_alignment", path=MEASURED),
    "pair_trainer": new(
        encoder_decoder, "pair_trainer", options=encoder_decoder.PairOptions(**SMALL), vocabulary_size=5
    ),
    "load_encoder_decoder": new(encoder_decoder, "load_encoder_decoder", path=MEASURED),
    "least_smoothed_loss": new(encoder_decoder, "least_smoothed_loss", vocabulary_size=5, label_smoothing=0.1),
    "CharacterPairs": new(encoder_decoder, "CharacterPairs", characters="ab"),
    "CharacterPairs.batch": method(pairs, "batch", sources=["ab", "a"], targets=["ba", "b"]),
    "CharacterPairs.translate": method(
        lambda: encoder_decoder.CharacterPairs("abc"),
        "translate",
        model=lambda: transformer(),
        sources=["ab", "a"],
        longest=2,
        width=2,
    ),
    "write_tables": new(
        head_maps,
        "write_tables",
        folder=lambda: folder(),
        heads=HEADS,
        scores=lambda: scores(),
        distances=lambda: np.eye(3),
    ),
    "draw_heads": new(head_maps, "draw_heads", path=MEASURED, title="a"),
    "draw_distances": new(head_maps, "draw_distances", path=MEASURED, title="a"),
    "read_scores": new(head_maps, "read_scores", path=MEASURED / "heads.csv"),
    "heatmaps": new(
        head_maps,
        "heatmaps",
        panels=lambda: {"a": weights(2, 2)},
        rows=["a", "b"],
        columns=["a", "b"],
        labels=("a", "b", "c"),
        title="d",
        smallest=0.2,
    ),
    "numbered": new(head_maps, "numbered", count=3),
    "thinned": new(head_maps, "thinned", names=["a", "b"], cell=0.1),
    "language_model": new(
        language_model, "language_model", options=language_model.LanguageModelOptions(**SMALL), vocabulary_size=5
    ),
    "language_model_trainer": new(
        language_model,
        "language_model_trainer",
        options=language_model.LanguageModelOptions(**SMALL),
        vocabulary_size=5,
    ),
    "prompted_trainer": new(
        prompted_gpt,
        "prompted_trainer",
        options=prompted_gpt.PromptedOptions(**SMALL),
        vocabulary_size=5,
        context_length=8,
    ),
    "chosen_corpus": new(text_runs, "chosen_corpus", text=Path("text.txt")),
    "TextFigures": new(text_runs, "TextFigures", title="a", references={"b": 1.0}, reference_run=None),
    "TextFigures.read": new(text_runs.TextFigures, "read", path=MEASURED, experiment="a"),
    "TextFigures.draw": method(text_figures, "draw", path=Path("run"), unit="nats"),
}
OF_RECIPES = {f"recipes.{name}": recipe for name, recipe in RECIPES.items()}
