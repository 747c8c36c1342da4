"""Valid calls of what `scratchformer.text` has."""

from pathlib import Path

import numpy as np

from scratchformer import text
from tests.malformed.recipes.call import LENGTHS, Recipe, called, ids, method, new


def sequences() -> list[np.ndarray]:
    return [ids(3), ids(2)]


def token_batch() -> text.TokenBatch:
    return text.TokenBatch(ids(2, 3), ids(2, 3))


WINDOWS = {"ids": lambda: ids(40), "batch_size": 2, "context_length": 5}
MASKING = {"vocabulary_size": 6, "mask_id": 5, "seed": 0, "share": 0.2}
TEXT: dict[str, Recipe] = {
    "text.CharacterTokenizer": new(text, "CharacterTokenizer", characters="abc"),
    "text.CharacterTokenizer.encode": method(lambda: text.CharacterTokenizer("abc"), "encode", text="cab"),
    "text.CharacterTokenizer.decode": method(
        lambda: text.CharacterTokenizer("abc"), "decode", ids=lambda: np.array([0, 2])
    ),
    "text.CharacterTokenizer.from_text": new(text.CharacterTokenizer, "from_text", text="abc"),
    "text.Corpus": new(text, "Corpus", name="a", text="abc"),
    "text.Corpus.split": method(lambda: text.Corpus("a", "abcdef"), "split", validation_share=0.5),
    "text.read_corpus": new(text, "read_corpus", path=Path("text.txt")),
    "text.TokenBatch": new(text, "TokenBatch", ids=lambda: ids(2, 3), targets=lambda: ids(2, 3)),
    "text.PackedBatch.split": method(token_batch, "split", num_shards=2),
    "text.SequenceBatch": new(text, "SequenceBatch", ids=lambda: ids(2, 3), targets=lambda: ids(2, 3), lengths=LENGTHS),
    "text.PackedBatch": new(
        text,
        "PackedBatch",
        ids=lambda: ids(2, 3),
        targets=lambda: ids(2, 3),
        documents=lambda: ids(2, 3),
        positions=lambda: ids(2, 3),
    ),
    "text.PairBatch": new(
        text,
        "PairBatch",
        source=lambda: ids(2, 3),
        source_lengths=LENGTHS,
        target_ids=lambda: ids(2, 3),
        targets=lambda: ids(2, 3),
        target_lengths=LENGTHS,
    ),
    "text.MaskedBatches": new(text, "MaskedBatches", **WINDOWS, **MASKING),
    "text.MaskedBatches.__call__": called(
        lambda: text.MaskedBatches(ids(40), 2, 5, vocabulary_size=6, mask_id=5, seed=0), index=1
    ),
    "text.ShuffledBatches": new(text, "ShuffledBatches", **WINDOWS, seed=0),
    "text.ShuffledBatches.__call__": called(lambda: text.ShuffledBatches(ids(40), 2, 5, seed=0), index=1, length=3),
    "text.fixed_batches": new(text, "fixed_batches", **WINDOWS, num_batches=2),
    "text.fixed_masked_batches": new(text, "fixed_masked_batches", **WINDOWS, num_batches=2, **MASKING),
    "text.ngram_entropy": new(
        text,
        "ngram_entropy",
        training=lambda: ids(20),
        validation=lambda: ids(9),
        vocabulary_size=5,
        order=2,
        smoothing=0.1,
    ),
    "text.packed_batch": new(text, "packed_batch", sequences=lambda: sequences(), context_length=5, padding_id=0),
    "text.padded_batch": new(text, "padded_batch", sequences=lambda: sequences(), padding_id=0),
    "text.pair_batch": new(
        text, "pair_batch", sources=lambda: sequences(), targets=lambda: sequences(), begin_id=1, end_id=2, padding_id=0
    ),
    "text.prompted_batch": new(text, "prompted_batch", prompts=lambda: ids(2, 3), answers=lambda: ids(2, 2)),
}


def pair_batch() -> text.PairBatch:
    return text.pair_batch(sequences(), sequences(), begin_id=1, end_id=2)
