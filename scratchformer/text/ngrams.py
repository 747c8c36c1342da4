"""How well counting n-grams predicts a text."""

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments


@checked_arguments
def ngram_entropy(
    training: Integer[ndarray, " n"],
    validation: Integer[ndarray, " m"],
    vocabulary_size: int,
    order: int,
    smoothing: float = 0.1,
) -> float:
    """The cross-entropy, in nats per token, that counting n-grams reaches: a loss curve has to fall below it.

    The n-grams are counted on the training part, and the cross-entropy is measured on the validation part:
    p(c | context) = (count(context, c) + smoothing) / (count(context) + smoothing vocabulary_size), where the context
    of c is the `order` - 1 tokens before it. Order 1 is a unigram, order 3 a trigram.

    Raises ValueError for an order below 1 or too high for the vocabulary, smoothing that is not positive, or a part
    shorter than the order.
    """
    if order < 1:
        raise ValueError(f"ngram_entropy: order must be at least 1, got {order}")
    smoothing = float(smoothing)
    if not smoothing > 0:
        raise ValueError(f"ngram_entropy: smoothing must be positive, got {smoothing}")
    for name, ids in (("training", training), ("validation", validation)):
        if len(ids) < order:
            raise ValueError(f"ngram_entropy: {name} has {len(ids)} tokens, an order of {order} needs at least {order}")
    if vocabulary_size**order >= 2**63:
        raise ValueError(f"ngram_entropy: order {order} is too high for a vocabulary of {vocabulary_size}")

    grams, counts = np.unique(_codes(training, order, vocabulary_size), return_counts=True)
    contexts, context_of_gram = np.unique(grams // vocabulary_size, return_inverse=True)
    context_counts = np.bincount(context_of_gram, weights=counts)

    asked = _codes(validation, order, vocabulary_size)
    count = _look_up(asked, grams, counts)
    context_count = _look_up(asked // vocabulary_size, contexts, context_counts)
    return float(-np.mean(np.log((count + smoothing) / (context_count + smoothing * vocabulary_size))))


def _codes(ids: ndarray, order: int, vocabulary_size: int) -> ndarray:
    """Each run of `order` tokens as one number, its last token as the last digit in base `vocabulary_size`."""
    codes = np.zeros(len(ids) - order + 1, np.int64)
    for place in range(order):
        codes = codes * vocabulary_size + ids[place : place + len(codes)]
    return codes


def _look_up(asked: ndarray, known: ndarray, counts: ndarray) -> ndarray:
    """The count of each code that is asked for, and 0 for codes that are not in `known`, which is sorted."""
    place = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.where(known[place] == asked, counts[place], 0)
