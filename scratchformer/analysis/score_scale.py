"""What dividing scores by sqrt(d_k) does to them, to the weights and to the gradient: measured on random queries."""

from dataclasses import dataclass

import numpy as np

from scratchformer.ops import attention_weights


@dataclass(frozen=True)
class ScoreStatistics:
    """Of the scores of random queries with random keys.

    Args:
        variance: of the scores.
        entropy: of a query's weights in nats, mean over the queries.
        typical_gradient: norm of the gradient of a query's scores, median over the queries.
        mean_gradient: the same norm, mean over the queries.
    """

    variance: float
    entropy: float
    typical_gradient: float
    mean_gradient: float


def measure_scores(
    d_k: int, *, num_keys: int = 32, batch: int = 64, generator: np.random.Generator
) -> tuple[ScoreStatistics, ScoreStatistics]:
    """Statistics of scores that are divided by sqrt(d_k), and of the same scores as they are.

    Features of queries and keys are independent and standard normal, and so is the gradient of the weights.

    Args:
        d_k: features of a query and of a key.
        num_keys: keys that a query chooses among.
        batch: how often keys are drawn; each time 8 queries meet them.
        generator: where all are drawn from.
    """
    query, key = generator.standard_normal((batch, 8, d_k)), generator.standard_normal((batch, num_keys, d_k))
    dweights = generator.standard_normal((batch, 8, num_keys))

    def measure(scale: float) -> ScoreStatistics:
        weights, backward = attention_weights(query, key, np.zeros(dweights.shape), scale=scale)
        _, _, dscores = backward(dweights)  # what is added to the scores has the gradient of the scores
        norms = np.linalg.norm(dscores, axis=-1)
        surprise = -np.log(np.where(weights > 0, weights, 1))
        return ScoreStatistics(
            variance=float((query @ key.swapaxes(1, 2) * scale).var()),
            entropy=float((weights * surprise).sum(axis=-1).mean()),
            typical_gradient=float(np.median(norms)),
            mean_gradient=float(norms.mean()),
        )

    return measure(d_k**-0.5), measure(1.0)
