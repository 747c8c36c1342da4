"""Sequences of two states, each from a Markov chain of its own, and what counting predicts of them."""

import numpy as np
from numpy import ndarray


def markov_sequences(count: int, length: int, generator: np.random.Generator) -> tuple[ndarray, ndarray]:
    """Sequences (count, length) of the states 0 and 1, and the transition matrices (count, 2, 2) of their chains.

    Rows of a matrix are from Dirichlet(1, 1), the first state is from the stationary distribution: with the rows
    (p, 1 - p) and (1 - q, q) it gives state 1 (1 - p) / (1 - p + 1 - q).
    """
    matrices = generator.dirichlet(np.ones(2), size=(count, 2))
    to_second = matrices[..., 1]
    stationary = to_second[:, 0] / (to_second[:, 0] + matrices[:, 1, 0])
    uniform = generator.random((length, count))
    after_first, after_second = uniform < to_second[:, 0], uniform < to_second[:, 1]
    states = np.empty((length, count), bool)
    states[0] = uniform[0] < stationary
    for t in range(1, length):
        states[t] = np.where(states[t - 1], after_second[t], after_first[t])
    return np.ascontiguousarray(states.T).astype(np.int64), matrices


def unigram(sequences: ndarray) -> ndarray:
    """What counting states predicts for each token but the first, (n, length - 1, 2): (c_i + 1) / (t + 2).

    Of the t tokens before, c_i are state i.
    """
    counts = np.eye(2)[sequences[:, :-1]].cumsum(axis=1)
    return (counts + 1) / (counts.sum(axis=-1, keepdims=True) + 2)


def bigram(sequences: ndarray) -> ndarray:
    """What counting transitions predicts: (c_ij + 1) / (c_i + 2), the mean of the posterior of the chain.

    After state i, of the c_i times that i was left before, c_ij led to j. It is the optimum but for what little the
    first state tells of the chain.
    """
    states = np.eye(2)[sequences]
    transitions = states[:, :-1, :, None] * states[:, 1:, None, :]
    before = transitions.cumsum(axis=1) - transitions
    counts = (states[:, :-1, :, None] * before).sum(axis=2)
    return (counts + 1) / (counts.sum(axis=-1, keepdims=True) + 2)
