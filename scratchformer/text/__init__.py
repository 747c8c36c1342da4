"""Tokenizers, corpora, batches, and what counting alone predicts."""

from scratchformer.text.batches import TokenBatch, fixed_batches
from scratchformer.text.characters import CharacterTokenizer
from scratchformer.text.corpora import Corpus, pydoc_corpus, read_corpus
from scratchformer.text.masked import MaskedBatches, fixed_masked_batches
from scratchformer.text.ngrams import ngram_entropy
from scratchformer.text.pairs import PairBatch, pair_batch
from scratchformer.text.prompted import prompted_batch
from scratchformer.text.sequences import PackedBatch, SequenceBatch, packed_batch, padded_batch
from scratchformer.text.shuffled import ShuffledBatches

__all__ = [
    "CharacterTokenizer",
    "Corpus",
    "MaskedBatches",
    "PackedBatch",
    "PairBatch",
    "SequenceBatch",
    "ShuffledBatches",
    "TokenBatch",
    "fixed_batches",
    "fixed_masked_batches",
    "ngram_entropy",
    "packed_batch",
    "padded_batch",
    "pair_batch",
    "prompted_batch",
    "pydoc_corpus",
    "read_corpus",
]
