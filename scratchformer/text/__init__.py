"""Tokenizers, corpora, batches, and what counting alone predicts."""

from scratchformer.text.batches import TokenBatch, fixed_batches
from scratchformer.text.characters import CharacterTokenizer
from scratchformer.text.corpora import Corpus, pydoc_corpus, read_corpus
from scratchformer.text.ngrams import ngram_entropy
from scratchformer.text.shuffled import ShuffledBatches

__all__ = [
    "CharacterTokenizer",
    "Corpus",
    "ShuffledBatches",
    "TokenBatch",
    "fixed_batches",
    "ngram_entropy",
    "pydoc_corpus",
    "read_corpus",
]
