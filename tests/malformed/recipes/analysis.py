"""Valid calls of what `scratchformer.analysis` has."""

import numpy as np

from scratchformer import training
from scratchformer.analysis import alignment, attention_patterns, norms, score_scale
from tests.malformed.recipes.call import Recipe, generator, ids, new, normal, weights
from tests.malformed.recipes.models import gpt, transformer
from tests.malformed.recipes.text import pair_batch, token_batch
from tests.malformed.recipes.training import trainer

W = {"weights": lambda: weights(2, 4, 4)}


ANALYSIS: dict[str, Recipe] = {
    **{
        f"analysis.{name}": new(attention_patterns, name, **W)
        for name in (
            "row_entropies",
            "mean_entropy",
            "previous_token_score",
            "self_score",
            "first_token_score",
            "head_divergences",
        )
    },
    "analysis.induction_score": new(
        attention_patterns, "induction_score", weights=lambda: weights(3, 2, 4, 4), ids=lambda: np.tile([1, 2], (3, 2))
    ),
    "analysis.uniform_attention": new(attention_patterns, "uniform_attention", length=3),
    "analysis.repeated_sequences": new(
        attention_patterns, "repeated_sequences", vocabulary_size=5, length=4, count=2, generator=lambda: generator()
    ),
    "analysis.measure_heads": new(
        attention_patterns,
        "measure_heads",
        model=lambda: gpt(),
        windows=lambda: ids(2, 4),
        sequences=lambda: np.tile([1, 2], (3, 2)),
    ),
    "analysis.norms_by_layer": new(
        norms,
        "norms_by_layer",
        trainer=lambda: trainer(),
        step=training.StepMetrics(1.0, 1.0, 0.1),
        batch=lambda: token_batch(),
    ),
    "analysis.measure_scores": new(
        score_scale, "measure_scores", d_k=3, num_keys=4, batch=2, generator=lambda: generator()
    ),
    "analysis.ScoreStatistics": new(
        score_scale, "ScoreStatistics", variance=1.0, entropy=1.0, typical_gradient=1.0, mean_gradient=1.0
    ),
    "analysis.Alignment": new(alignment, "Alignment", shares=lambda: {"a": normal(2, 2)}, uniform=lambda: {"a": 0.5}),
    "analysis.cross_attention": new(
        alignment, "cross_attention", model=lambda: transformer(), batch=lambda: pair_batch()
    ),
    "analysis.measure_alignment": new(
        alignment,
        "measure_alignment",
        model=lambda: transformer(),
        batch=lambda: pair_batch(),
        sought=lambda: {"a": np.ones((2, 4, 3), bool)},
    ),
}
