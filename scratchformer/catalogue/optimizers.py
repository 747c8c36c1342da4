"""Every optimizer beside the algorithm of its paper, written for one parameter in plain numbers."""

import math
from collections.abc import Callable, Sequence

from scratchformer.catalogue.entry import optimizer_entry
from scratchformer.optim import SGD, Adam, AdamW

Numbers = Sequence[float]


def sgd(momentum: float, *, nesterov: bool = False) -> Callable[[float, Numbers, Numbers, bool], float]:
    def run(p: float, gradients: Numbers, rates: Numbers, decays: bool) -> float:
        u = 0.0
        for g, rate in zip(gradients, rates, strict=True):
            u = momentum * u + g
            p -= rate * (g + momentum * u if nesterov else u)
        return p

    return run


def adam(b1: float, b2: float, eps: float, decay: float = 0.0) -> Callable[[float, Numbers, Numbers, bool], float]:
    def run(p: float, gradients: Numbers, rates: Numbers, decays: bool) -> float:
        m = v = 0.0
        for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
            p -= rate * decay * p if decays else 0
            m = b1 * m + (1 - b1) * g
            v = b2 * v + (1 - b2) * g**2
            p -= rate * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + eps)
        return p

    return run


OPTIMIZERS = [
    optimizer_entry("SGD", SGD, sgd(0)),
    optimizer_entry("SGD (momentum)", lambda vector: SGD(vector, momentum=0.7), sgd(0.7)),
    optimizer_entry("SGD (Nesterov)", lambda vector: SGD(vector, momentum=0.7, nesterov=True), sgd(0.7, nesterov=True)),
    optimizer_entry("Adam", lambda vector: Adam(vector, betas=(0.8, 0.9), eps=0.1), adam(0.8, 0.9, 0.1)),
    optimizer_entry(
        "AdamW",
        lambda vector: AdamW(vector, betas=(0.8, 0.9), eps=0.1, weight_decay=0.3),
        adam(0.8, 0.9, 0.1, decay=0.3),
    ),
]
