"""Decoding: greedy decoding, sampling, and beam search."""

from scratchformer.generation.answers import greedy_answers
from scratchformer.generation.beam_search import Beam, beam_search
from scratchformer.generation.choices import Choice, Sampling, greedy
from scratchformer.generation.generate import generate

__all__ = ["Beam", "Choice", "Sampling", "beam_search", "generate", "greedy", "greedy_answers"]
