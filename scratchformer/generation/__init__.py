"""Decoding: greedy and sampling."""

from scratchformer.generation.choices import Choice, Sampling, greedy
from scratchformer.generation.generate import generate

__all__ = ["Choice", "Sampling", "generate", "greedy"]
