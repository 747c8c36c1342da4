"""Sequences of two states, each from a Markov chain of its own, and how counting predicts them."""

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray


def markov_sequences(
    count: int, length: int, generator: np.random.Generator
) -> tuple[Integer[ndarray, "count length"], Float[ndarray, "count 2 2"]]:
    """Sequences of the states 0 and 1, and the transition matrices of their chains.

    The rows of a matrix are drawn from Dirichlet(1, 1). The first state is drawn from the chain's stationary
    distribution: where the matrix has the rows (p, 1 - p) and (1 - q, q), state 1 has the probability
    (1 - p) / (1 - p + 1 - q).
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


def unigram(sequences: Integer[ndarray, "n length"]) -> Float[ndarray, "n length-1 2"]:
    """The probabilities that counting states gives each token but the first: (c_i + 1) / (t + 2) for state i.

    Of the t tokens before, c_i are state i.
    """
    counts = np.eye(2)[sequences[:, :-1]].cumsum(axis=1)
    return (counts + 1) / (counts.sum(axis=-1, keepdims=True) + 2)


def bigram(sequences: Integer[ndarray, "n length"]) -> Float[ndarray, "n length-1 2"]:
    """The probabilities that counting transitions gives each token but the first: (c_ij + 1) / (c_i + 2) for state j.

    The token before is state i. Earlier tokens left state i c_i times, and c_ij of these times led to state j. This is
    the mean of the posterior of the chain, and optimal but for the little that the first state tells of the chain.
    """
    states = np.eye(2)[sequences]
    transitions = states[:, :-1, :, None] * states[:, 1:, None, :]
    before = transitions.cumsum(axis=1) - transitions
    counts = (states[:, :-1, :, None] * before).sum(axis=2)
    return (counts + 1) / (counts.sum(axis=-1, keepdims=True) + 2)
