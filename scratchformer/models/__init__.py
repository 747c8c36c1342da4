"""Whole networks."""

from scratchformer.models.gpt import GPT, GPTConfig

__all__ = ["GPT", "GPTConfig"]
