import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.text.batches import IGNORE_INDEX, TokenBatch


def prompted_batch(prompts: Integer[ndarray, "b p"], answers: Integer[ndarray, "b a"]) -> TokenBatch:
    """Prompts and what follows them, of which the answers alone are predicted.

    Of prompt x_1 ... x_p and answer y_1 ... y_a a model reads `ids` = x_1, ..., x_p, y_1, ..., y_(a-1), and `targets`
    are the answer where it is predicted, from the prompt's last token on, and -100 before: p + a - 1 tokens.

    Raises TypeError for ids that are not integers; ValueError for other than two dimensions, no rows, no columns, not
    as many answers as prompts, or a negative id.
    """
    for argument, ids in (("prompts", prompts), ("answers", answers)):
        if not isinstance(ids, ndarray) or ids.dtype.kind not in "iu":
            kind = ids.dtype if isinstance(ids, ndarray) else type(ids).__name__
            raise TypeError(f"prompted_batch: {argument} must be an integer array, got {kind}")
        if ids.ndim != 2 or ids.size == 0:
            raise ValueError(f"prompted_batch: {argument} must be rows of at least one id, got shape {ids.shape}")
        if ids.min() < 0:
            raise ValueError(f"prompted_batch: {argument} holds {ids.min()}, expected ids of at least 0")
    if len(answers) != len(prompts):
        raise ValueError(f"prompted_batch: answers must be as many as prompts, got {len(answers)} for {len(prompts)}")
    read_before = np.full((len(prompts), prompts.shape[1] - 1), IGNORE_INDEX)
    ids = np.concatenate([prompts, answers[:, :-1]], axis=1, dtype=np.intp)
    return TokenBatch(ids, np.concatenate([read_before, answers], axis=1, dtype=np.intp))
