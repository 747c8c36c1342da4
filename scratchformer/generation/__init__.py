"""Decoding: greedy decoding, sampling, beam search, restrictions, text as it comes, and conversations."""

from scratchformer.generation.answers import greedy_answers
from scratchformer.generation.beam_search import Beam, beam_search
from scratchformer.generation.choices import Choice, Sampling, greedy
from scratchformer.generation.conversation import ChatTokenizer, Conversation
from scratchformer.generation.generate import generate
from scratchformer.generation.restrictions import (
    ForbiddenWords,
    MinLength,
    NoRepeatedNgrams,
    RepetitionPenalty,
    Restriction,
    SuppressedTokens,
    TokensSoFar,
)
from scratchformer.generation.settings import GenerationSettings
from scratchformer.generation.streaming import Decode, stream_text

__all__ = [
    "Beam",
    "ChatTokenizer",
    "Choice",
    "Conversation",
    "Decode",
    "ForbiddenWords",
    "GenerationSettings",
    "MinLength",
    "NoRepeatedNgrams",
    "RepetitionPenalty",
    "Restriction",
    "Sampling",
    "SuppressedTokens",
    "TokensSoFar",
    "beam_search",
    "generate",
    "greedy",
    "greedy_answers",
    "stream_text",
]
