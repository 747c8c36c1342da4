"""Valid calls of what `scratchformer.generation` has."""

from typing import Any

import numpy as np

from scratchformer import generation
from tests.malformed.recipes.call import Recipe, called, generator, ids, method, new, normal
from tests.malformed.recipes.models import gpt
from tests.malformed.recipes.text import sequences

GENERATED = {"num_tokens": 3, "context_length": 8, "stop": (2,), "use_cache": True, "cache": None}


class OneToken:
    """A tokenizer of one token."""

    def chat(self, messages: Any) -> list[int]:
        return [1]

    def decode(self, ids: list[int]) -> str:
        return "a" * len(ids)


RESTRICTED = {
    "logits": lambda: normal(2, 5),
    "so_far": lambda: generation.TokensSoFar(ids(2, 3), np.array([3, 2]), 1),
}
GENERATION: dict[str, Recipe] = {
    "generation.generate": new(
        generation, "generate", model=lambda: gpt(), prompts=lambda: ids(2, 3), choose=generation.greedy, **GENERATED
    ),
    "generation.generate, prompts of two lengths": new(
        generation, "generate", model=lambda: gpt(), prompts=lambda: sequences(), choose=generation.greedy, **GENERATED
    ),
    "generation.beam_search": new(
        generation,
        "beam_search",
        model=lambda: gpt(),
        prompts=lambda: ids(2, 3),
        width=2,
        length_penalty=0.5,
        **GENERATED,
    ),
    "generation.greedy": new(generation, "greedy", logits=lambda: normal(2, 5)),
    "generation.greedy_answers": new(
        generation, "greedy_answers", model=lambda: gpt(), prompts=lambda: ids(2, 3), num_tokens=2, batch_size=2
    ),
    "generation.Beam": new(generation, "Beam", ids=lambda: ids(3), score=-1.0, log_probability=-1.0),
    "generation.RepetitionPenalty": new(generation, "RepetitionPenalty", penalty=1.1),
    "generation.RepetitionPenalty.__call__": called(lambda: generation.RepetitionPenalty(1.1), **RESTRICTED),
    "generation.NoRepeatedNgrams": new(generation, "NoRepeatedNgrams", size=2),
    "generation.NoRepeatedNgrams.__call__": called(lambda: generation.NoRepeatedNgrams(2), **RESTRICTED),
    "generation.ForbiddenWords": new(generation, "ForbiddenWords", words=((1, 2), (3,))),
    "generation.ForbiddenWords.__call__": called(lambda: generation.ForbiddenWords([[1, 2], [3]]), **RESTRICTED),
    "generation.SuppressedTokens": new(generation, "SuppressedTokens", tokens=(1, 2), at_first_only=True),
    "generation.SuppressedTokens.__call__": called(lambda: generation.SuppressedTokens([1]), **RESTRICTED),
    "generation.MinLength": new(generation, "MinLength", stop=(1, 2), new_tokens=2, tokens=4),
    "generation.MinLength.__call__": called(lambda: generation.MinLength([1], 2), **RESTRICTED),
    "generation.TokensSoFar": new(
        generation, "TokensSoFar", ids=lambda: ids(2, 3), lengths=lambda: np.array([3, 2]), num_new=1
    ),
    "generation.GenerationSettings": new(
        generation,
        "GenerationSettings",
        do_sample=True,
        temperature=0.7,
        top_k=5,
        top_p=0.9,
        min_p=0.1,
        repetition_penalty=1.1,
        no_repeat_ngram_size=2,
        bad_words_ids=((1, 2), (3,)),
        min_length=2,
        min_new_tokens=1,
        max_length=9,
        max_new_tokens=5,
        suppress_tokens=(1,),
        begin_suppress_tokens=(2,),
        eos_token_id=(0,),
        stop_strings=("end",),
        bos_token_id=1,
        pad_token_id=2,
    ),
    "generation.GenerationSettings.choose": method(
        lambda: generation.GenerationSettings(do_sample=True), "choose", generator=lambda: generator()
    ),
    "generation.GenerationSettings.num_tokens": method(
        lambda: generation.GenerationSettings(max_length=9), "num_tokens", prompt_length=5
    ),
    "generation.Conversation": new(
        generation,
        "Conversation",
        model=lambda: gpt(),
        tokenizer=lambda: OneToken(),
        settings=lambda: generation.GenerationSettings(),
        context_length=8,
        num_tokens=3,
        generator=lambda: generator(),
        system="text",
    ),
    "generation.Conversation.answer": method(
        lambda: generation.Conversation(
            gpt(), OneToken(), generation.GenerationSettings(), context_length=8, num_tokens=3, generator=generator()
        ),
        "answer",
        message="text",
    ),
    "generation.Sampling": new(
        generation, "Sampling", generator=lambda: generator(), temperature=0.5, top_k=3, top_p=0.9, min_p=0.1
    ),
    "generation.Sampling.__call__": called(
        lambda: generation.Sampling(generator(), top_k=3, top_p=0.9, min_p=0.1), logits=lambda: normal(2, 5)
    ),
    "generation.Sampling.scores": method(
        lambda: generation.Sampling(generator(), top_k=3), "scores", logits=lambda: normal(2, 5)
    ),
}
