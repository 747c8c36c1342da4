"""What a model's `generation_config.json` says about decoding."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from scratchformer.arguments import checked_arguments
from scratchformer.generation.choices import Choice, Sampling, greedy
from scratchformer.generation.restrictions import (
    ForbiddenWords,
    MinLength,
    NoRepeatedNgrams,
    RepetitionPenalty,
    Restriction,
    SuppressedTokens,
)
from scratchformer.python_numbers import take_python_numbers

_OF_OUTPUT = "it says what else a call returns, and changes no token"
_OF_MEMORY = "it says how memory or time is spent, and changes no token but by rounding"
_OF_BEAMS = "it is for beam search, and num_beams above 1 is refused"
_OF_ASSISTANT = "it is for a second model that drafts tokens, which a caller would have to pass"
_OF_ENCODER = "it is for encoder-decoders, where the caller gives the first token of the target"

HARMLESS = {
    "_commit_hash": "it says where the file comes from",
    "_from_model_config": "it says where the file comes from",
    "transformers_version": "it says where the file comes from",
    "output_attentions": _OF_OUTPUT,
    "output_hidden_states": _OF_OUTPUT,
    "output_logits": _OF_OUTPUT,
    "output_scores": _OF_OUTPUT,
    "return_dict_in_generate": _OF_OUTPUT,
    "cache_config": _OF_MEMORY,
    "cache_implementation": _OF_MEMORY,
    "compile_config": _OF_MEMORY,
    "continuous_batching_config": _OF_MEMORY,
    "disable_compile": _OF_MEMORY,
    "low_memory": _OF_MEMORY,
    "max_cache_len": _OF_MEMORY,
    "prefill_chunk_size": _OF_MEMORY,
    "use_cache": _OF_MEMORY,
    "diversity_penalty": _OF_BEAMS,
    "early_stopping": _OF_BEAMS,
    "length_penalty": _OF_BEAMS,
    "num_beam_groups": _OF_BEAMS,
    "assistant_confidence_threshold": _OF_ASSISTANT,
    "assistant_ensemble_weight": _OF_ASSISTANT,
    "assistant_lookbehind": _OF_ASSISTANT,
    "is_assistant": _OF_ASSISTANT,
    "max_matching_ngram_size": _OF_ASSISTANT,
    "num_assistant_tokens": _OF_ASSISTANT,
    "num_assistant_tokens_schedule": _OF_ASSISTANT,
    "target_lookbehind": _OF_ASSISTANT,
    "decoder_start_token_id": _OF_ENCODER,
    "encoder_no_repeat_ngram_size": _OF_ENCODER,
    "encoder_repetition_penalty": _OF_ENCODER,
    "remove_invalid_values": "it replaces logits such as NaN, with which decoding here ends in an error",
    "renormalize_logits": "it adds one number to all logits, which changes no probability",
}
"""Keys that are passed over whatever their value, each with the reason."""

OFF: dict[str, tuple[Any, ...]] = {
    "assistant_early_exit": (),
    "constraints": (),
    "dola_layers": (),
    "epsilon_cutoff": (0, 1),
    "eta_cutoff": (0, 1),
    "exponential_decay_length_penalty": (),
    "force_words_ids": (),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "guidance_scale": (1,),
    "max_time": (),
    "num_beams": (1,),
    "num_return_sequences": (1,),
    "penalty_alpha": (0,),
    "prompt_lookup_num_tokens": (),
    "sequence_bias": (),
    "speculation_type": (),
    "token_healing": (False,),
    "top_h": (1,),
    "typical_p": (1,),
    "use_mtp": (False,),
    "watermarking_config": (),
}
"""Keys of what decoding here has not, and the values beside null with which they ask for nothing."""


@checked_arguments
@dataclass(frozen=True)
class GenerationSettings:
    """How a model is meant to be decoded. The fields are those of `generation_config.json`.

    Raises TypeError or ValueError, with the name of the field, for a value that means nothing.

    Source: the file's keys, their defaults and the order in which they act are those of Hugging Face's transformers
    5.24, `GenerationConfig` and `GenerationMixin._get_logits_processor`.
    """

    do_sample: bool = False
    """Whether tokens are drawn; else the likeliest is taken, and temperature, top_k, top_p and min_p have no effect."""
    temperature: float = 1.0
    """Divides the logits."""
    top_k: int | None = None
    """Number of likely tokens that are kept; None or 0 for all."""
    top_p: float = 1.0
    """The probability that the tokens that are kept reach together."""
    min_p: float = 0.0
    """The least probability of a token as a share of the likeliest one's."""
    repetition_penalty: float = 1.0
    """See `RepetitionPenalty`; 1 for none."""
    no_repeat_ngram_size: int = 0
    """See `NoRepeatedNgrams`; 0 for no such rule."""
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    """See `ForbiddenWords`. Words that are one stop token are passed over."""
    min_length: int = 0
    """The least number of tokens of prompt and answer before a stop token; min_new_tokens replaces it."""
    min_new_tokens: int | None = None
    """The least number of tokens of the answer before a stop token."""
    max_length: int | None = None
    """The largest number of tokens of prompt and answer; max_new_tokens replaces it."""
    max_new_tokens: int | None = None
    """The largest number of tokens of the answer."""
    suppress_tokens: tuple[int, ...] = ()
    """Tokens that are never chosen."""
    begin_suppress_tokens: tuple[int, ...] = ()
    """Tokens that are not chosen as the first of an answer."""
    eos_token_id: tuple[int, ...] = ()
    """The tokens that end a sequence."""
    stop_strings: tuple[str, ...] = ()
    """The texts that end a text; see `stream_text`."""
    bos_token_id: int | None = None
    """The token that texts begin with. It belongs to the tokenizer; decoding does not use it."""
    pad_token_id: int | None = None
    """The token of padding. Decoding does not use it: padding is known by its place."""

    def __post_init__(self) -> None:
        take_python_numbers(self)
        for name in ("min_length", "min_new_tokens", "max_length", "max_new_tokens", "no_repeat_ngram_size", "top_k"):
            self._check(name, (getattr(self, name) or 0) >= 0, "not be negative")
        self._check("repetition_penalty", 0 < self.repetition_penalty < math.inf, "be positive and finite")
        self._check("stop_strings", "" not in self.stop_strings, "hold no empty string")
        self._check("bad_words_ids", () not in self.bad_words_ids, "hold no empty word")
        for name in ("suppress_tokens", "begin_suppress_tokens", "eos_token_id"):
            self._check(name, min(getattr(self, name), default=0) >= 0, "hold no negative token")
        self._check("bad_words_ids", min(map(min, self.bad_words_ids), default=0) >= 0, "hold no negative token")
        if self.do_sample:
            self._check("temperature", 0 < self.temperature < math.inf, "be positive and finite")
            self._check("top_p", 0 < self.top_p <= 1, "be above 0 and at most 1")
            self._check("min_p", 0 <= self.min_p <= 1, "be from 0 to 1")

    def _check(self, name: str, is_right: bool, expected: str) -> None:
        if not is_right:
            raise ValueError(f"GenerationSettings: {name} must {expected}, got {getattr(self, name)}")

    @classmethod
    @checked_arguments
    def from_json(cls, values: Mapping[str, Any], *, eos: Collection[int] = ()) -> "GenerationSettings":
        """The settings in the content of a `generation_config.json`.

        A key that is absent has the default of transformers: with do_sample, a top_k of 50. A null switches off what
        the key names.

        Args:
            values: what the file holds.
            eos: the tokens that end a sequence if the file names none.

        Raises:
            TypeError: a value of another type.
            ValueError: a value out of range; a key that is unknown, or asks for what decoding here has not. The
                message names it. `HARMLESS` lists the keys that are passed over.
        """
        names = {field.name for field in fields(cls)}
        found: dict[str, Any] = {"top_k": 50}
        for key, value in values.items():
            if key in names:
                found[key] = value
            elif not (key in HARMLESS or value is None or value in OFF.get(key, ())):
                if key in OFF:
                    off = " or ".join(["null", *map(str, OFF[key])])
                    raise ValueError(f"GenerationSettings: {key} must be {off}, got {value!r}: decoding has no more")
                raise ValueError(f"GenerationSettings: {key} is no known key of generation_config.json, got {value!r}")
        if found.get("eos_token_id") is None:
            found["eos_token_id"] = tuple(eos)
        for key in ("eos_token_id", "stop_strings"):
            if isinstance(found.get(key), int | str):
                found[key] = (found[key],)
        if found["top_k"] is None:
            found["top_k"] = 0
        return cls(**{key: _as_tuples(value) for key, value in found.items() if value is not None})

    @checked_arguments
    def choose(self, generator: np.random.Generator) -> Choice:
        """How a token is chosen: `greedy`, or a `Sampling` that draws from the generator."""
        if not self.do_sample:
            return greedy
        return Sampling(generator, self.temperature, self.top_k or None, self.top_p, self.min_p)

    def restrictions(self) -> list[Restriction]:
        """What comes before the choice, for `generate(restrict=...)`, in the order of transformers."""
        eos = self.eos_token_id
        words = [word for word in self.bad_words_ids if not (len(word) == 1 and word[0] in eos)]
        new_tokens = self.min_new_tokens or 0
        tokens = self.min_length if self.min_new_tokens is None else 0
        found: list[Restriction] = []
        if self.repetition_penalty != 1:
            found.append(RepetitionPenalty(self.repetition_penalty))
        if self.no_repeat_ngram_size:
            found.append(NoRepeatedNgrams(self.no_repeat_ngram_size))
        if words:
            found.append(ForbiddenWords(words))
        if eos and (new_tokens or tokens):
            found.append(MinLength(eos, new_tokens, tokens))
        if self.suppress_tokens:
            found.append(SuppressedTokens(self.suppress_tokens))
        if self.begin_suppress_tokens:
            found.append(SuppressedTokens(self.begin_suppress_tokens, at_first_only=True))
        return found

    @checked_arguments
    def num_tokens(self, prompt_length: int) -> int | None:
        """The largest number of tokens to add to a prompt; None where nothing is said.

        Raises ValueError for a prompt that is longer than max_length.
        """
        if self.max_new_tokens is not None or self.max_length is None:
            return self.max_new_tokens
        if prompt_length > self.max_length:
            raise ValueError(
                f"GenerationSettings: max_length is {self.max_length}, but the prompt has {prompt_length} tokens"
            )
        return self.max_length - prompt_length


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list | tuple) else value
