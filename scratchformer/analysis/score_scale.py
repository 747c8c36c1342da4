"""What dividing attention scores by sqrt(d_k) does to scores, weights and gradients, measured on random queries."""

from dataclasses import dataclass

import numpy as np

from scratchformer.arguments import checked_arguments
from scratchformer.ops import attention_weights
from scratchformer.text.checks import check_sizes


@checked_arguments
@dataclass(frozen=True)
class ScoreStatistics:
    """Statistics of the scores of random queries with random keys.

    Args:
        variance: of all scores.
        entropy: of a query's weights, in nats; the mean over the queries.
        typical_gradient: norm of the gradient of a query's scores; the median over the queries.
        mean_gradient: the same norm; the mean over the queries.
    """

    variance: float
    entropy: float
    typical_gradient: float
    mean_gradient: float


@checked_arguments
def measure_scores(
    d_k: int, *, num_keys: int = 32, batch: int = 64, generator: np.random.Generator
) -> tuple[ScoreStatistics, ScoreStatistics]:
    """Statistics of scores that are divided by sqrt(d_k), and of the same scores as they are.

    The features of queries and keys are independent and standard normal, and so is the gradient of the weights.

    Args:
        d_k: number of features of a query and of a key.
        num_keys: number of keys that a query attends to.
        batch: number of sets of keys; each set meets 8 queries.
        generator: draws queries, keys and gradients.

    Raises ValueError for a number below 1.
    """
    check_sizes("measure_scores", d_k=d_k, num_keys=num_keys, batch=batch)
    query = generator.standard_normal((batch, 8, d_k))
    key = generator.standard_normal((batch, num_keys, d_k))
    dweights = generator.standard_normal((batch, 8, num_keys))

    def measure(scale: float) -> ScoreStatistics:
        weights, backward = attention_weights(query, key, np.zeros(dweights.shape), scale=scale)
        _, _, dscores = backward(dweights)  # the gradient of the additive mask is that of the scores
        norms = np.linalg.norm(dscores, axis=-1)
        surprise = -np.log(np.where(weights > 0, weights, 1))
        return ScoreStatistics(
            variance=float((query @ key.swapaxes(1, 2) * scale).var()),
            entropy=float((weights * surprise).sum(axis=-1).mean()),
            typical_gradient=float(np.median(norms)),
            mean_gradient=float(norms.mean()),
        )

    return measure(d_k**-0.5), measure(1.0)
