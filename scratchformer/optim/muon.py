import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.misfits import shown
from scratchformer.optim.adam import AdamW
from scratchformer.optim.optimizer import check_rate
from scratchformer.optim.spans import NamedParameters, spans

QUINTIC = 3.4445, -4.7750, 2.0315
"""Jordan et al. chose these: five steps bring any singular value between 0.003 and 1 to between 0.68 and 1.21."""


@checked_arguments
class Muon(AdamW):
    """Momentum made orthogonal for the matrices of the blocks, AdamW for all else, with one learning rate for both.

    For the gradient g of a matrix p of r rows and c columns, with the momentum b:
    m = b m + (1 - b) g, u = b m + (1 - b) g, and
    p -= learning_rate (weight_decay p + rms sqrt(max(r, c)) orthogonal(u)).

    An update has the root mean square learning_rate rms, whatever the shape; AdamW's is 0.2 to 0.4 learning_rate.
    Tables, the output head, biases and norms are to be AdamW's.

    Args:
        parameters: a packed layer.
        matrices: the names of the matrices, each with how many stand side by side in it: 2 for keys and values in one
            projection. Each of them is made orthogonal by itself.
        rms: root mean square of an update at a learning rate of 1.
        momentum: b.
        betas, eps, weight_decay: as in AdamW; the decay is that of the matrices, too.

    Raises ValueError for a name that is no matrix, a number that does not divide its columns, a momentum outside
    [0, 1), a negative rms, and what `AdamW` raises.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the scale and the decay:
    Liu et al., "Muon is scalable for LLM training", 2025, equation 4.

    Derivation: `python -m scratchformer derive muon`.
    """

    parameters: NamedParameters

    def __init__(
        self,
        parameters: NamedParameters,
        matrices: Mapping[str, int],
        *,
        rms: float = 0.2,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        check_rate("Muon", "rms", rms)
        check_rate("Muon", "momentum", momentum, below=1)
        super().__init__(parameters, betas=betas, eps=eps, weight_decay=weight_decay)
        self.matrices = dict(matrices)
        self.rms = float(rms)
        self.momentum = float(momentum)
        self.between = between(parameters, self.matrices)

    def _updates(self, learning_rate: float) -> Sequence[Callable[[], object]]:
        vectors = self.parameters.values, self.parameters.grads, self.state["m"]
        views = [self.parameters.views_by_name(vector) for vector in vectors]
        matrices = [
            partial(self._update_matrix, learning_rate, *matrix)
            for name, count in self.matrices.items()
            for matrix in zip(*(np.split(view[name], count, axis=1) for view in views), strict=True)
        ]
        update = self._update(learning_rate)
        return [*matrices, *(partial(update, span) for begin, end in self.between for span in spans(end, begin))]

    def _update_matrix(self, learning_rate: float, p: ndarray, g: ndarray, m: ndarray) -> None:
        b = self.momentum
        m *= b
        m += (1 - b) * g
        u = b * m + (1 - b) * g
        p *= 1 - learning_rate * self.weight_decay
        p -= learning_rate * self.rms * math.sqrt(max(p.shape)) * orthogonal(u)


@checked_arguments
def orthogonal(u: Float[ndarray, "r c"], num_steps: int = 5) -> Float[ndarray, "r c"]:
    """A matrix with the singular vectors of `u` and singular values near 1, by Newton-Schulz steps; 0 for 0.

    X = u / |u|, then X = a X + b (X X^T) X + c (X X^T)^2 X in each step: every singular value s becomes
    a s + b s^3 + c s^5. A direction of `u` a thousand times weaker than its norm may be left weaker than the others.
    """
    a, b, c = QUINTIC
    largest = np.abs(u).max(initial=0)
    if largest == 0:
        return np.zeros_like(u)
    x = u / largest  # squares of tiny and huge elements leave the range of the dtype
    x /= np.linalg.norm(x)
    x = x if u.shape[0] <= u.shape[1] else x.T  # the product of the short side is the cheaper one
    for _ in range(num_steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x if u.shape[0] <= u.shape[1] else x.T


def between(parameters: NamedParameters, matrices: Mapping[str, int]) -> list[tuple[int, int]]:
    """Where the elements that belong to none of the matrices begin and end, before, between and after them."""
    places = parameters.views_by_name(np.arange(len(parameters.values)))
    _check_matrices(places, matrices)
    edges = sorted((int(places[name][0, 0]), int(places[name][-1, -1]) + 1) for name in matrices)
    begins, ends = [0, *(end for _, end in edges)], [*(begin for begin, _ in edges), len(parameters.values)]
    return list(zip(begins, ends, strict=True))


def _check_matrices(places: Mapping[str, ndarray], matrices: Mapping[str, int]) -> None:
    for name, count in matrices.items():
        if name not in places or places[name].ndim != 2 or not places[name].size:
            named = [known for known, place in places.items() if place.ndim == 2 and place.size]
            raise ValueError(f"Muon: matrices must be of {', '.join(named) or 'no name'}, got {shown(name)}")
        columns = places[name].shape[1]
        if count < 1 or columns % count:
            raise ValueError(f"Muon: matrices[{name!r}] must divide its {columns} columns, got {count}")
