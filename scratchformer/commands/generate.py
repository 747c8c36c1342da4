"""Continues prompts with a language model. One text appears as it comes; several are continued together."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import tyro
from numpy import ndarray

from scratchformer.commands.decoding import DecodingOptions, Flag, Text, Unsaid
from scratchformer.commands.model_files import find_model, load_decoder
from scratchformer.commands.standard_streams import say, stdin_text, write_text
from scratchformer.generation import GenerationSettings, generate, stream_text
from scratchformer.pretrained import open_weights
from scratchformer.pretrained.extra import import_extra
from scratchformer.pretrained.load_tokenizer import load_tokenizer
from scratchformer.pretrained.tokenizer import Tokenizer
from scratchformer.runs.command_line import one_sentence_errors, parse
from scratchformer.runs.ranges import Range

PROG = "python -m scratchformer generate"
FROM_STDIN = "-"
NUM_TOKENS = 200
"""Of a continuation where nothing else is said."""
TAIL = 8
"""Tokens of the prompt that are decoded together with those after them, whose text may depend on them."""
EVERY = 8
"""Steps after which is looked whether all of several texts have come to a stop string."""


@dataclass(frozen=True)
class Config(DecodingOptions):
    """Options of the continuation."""

    prompt: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, Text] = ()
    """Text to continue; can be given several times. Without it, or for `-`, the text is read from stdin."""
    num_tokens: Annotated[Annotated[int, Range(at_least=1)] | None, Unsaid] = None
    """Largest number of tokens to add; without it as the model's files say, else 200."""
    json: Flag = False
    """Print a line of JSON for each prompt, with `prompt` and `text`, instead of the texts."""

    def check(self) -> None:
        """Raises ValueError for an option out of range, or stdin as several prompts."""
        super().check()
        if self.prompt.count(FROM_STDIN) > 1:
            raise ValueError("--prompt - reads all of stdin, and can be given once")


@dataclass(frozen=True)
class Prompt:
    """A text and its tokens."""

    text: str
    ids: ndarray


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        config = parse({"default": Config()}, prog=PROG, description=__doc__, arguments=arguments)
        config.check()
        import_extra("generate", "tokenizers")  # before a model is downloaded
        path = find_model(config.model)
        tokenizer = load_tokenizer(path)
        settings = config.settings(open_weights(path), tokenizer.stop_tokens)
        prompts = [encoded(tokenizer, text) for text in texts(config.prompt)]
        model = load_decoder(path, config.weights)
        longest = max(len(prompt.ids) for prompt in prompts)
        num_tokens = config.num_tokens or default_num_tokens(settings, longest, model.context_length)
        if longest + num_tokens > model.context_length:
            say(f"[the context has {model.context_length} tokens; of longer texts the model sees the last ones]")
        tokens = generate(
            model,
            [prompt.ids for prompt in prompts],
            num_tokens,
            context_length=model.context_length,
            choose=settings.choose(config.generator()),
            stop=settings.eos_token_id,
            restrict=settings.restrictions(),
        )
        if len(prompts) == 1 and not config.json:
            show_as_it_comes(tokenizer, prompts[0], tokens, settings)
        else:
            show_all(tokenizer, prompts, tokens, settings, config.json)


def texts(typed: Sequence[str]) -> list[str]:
    """The prompts, those from stdin included, without the line break at its end."""
    return [stdin_text().removesuffix("\n") if text == FROM_STDIN else text for text in typed or (FROM_STDIN,)]


def encoded(tokenizer: Tokenizer, text: str) -> Prompt:
    """A prompt with its tokens. Raises ValueError for an empty one, where no token begins a text."""
    ids = tokenizer.encode(text)
    if not len(ids):
        if tokenizer.bos is None:
            raise ValueError("the prompt is empty, and the model has no token with which texts begin")
        ids = np.array([tokenizer.bos])
    return Prompt(text, ids)


def default_num_tokens(settings: GenerationSettings, longest: int, context_length: int) -> int:
    """How many tokens are added where the options do not say it: as many as the context holds, at most 200."""
    said = settings.num_tokens(longest)
    return max(1, min(NUM_TOKENS, context_length - longest)) if said is None else said


def decode_after(tokenizer: Tokenizer, prompt: Prompt) -> Callable[[list[int]], str]:
    """Gives the text of tokens that follow a prompt: at the start of a text, some tokens would lose their space."""
    tail = prompt.ids[-TAIL:].tolist()
    num_known = len(tokenizer.decode(tail, skip_special_tokens=True))
    return lambda ids: tokenizer.decode([*tail, *ids], skip_special_tokens=True)[num_known:]


def show_as_it_comes(
    tokenizer: Tokenizer, prompt: Prompt, tokens: Iterator[ndarray], settings: GenerationSettings
) -> None:
    """Prints a prompt and its continuation."""
    write_text(prompt.text)
    try:
        for piece in continuation(tokenizer, prompt, tokens, settings):
            write_text(piece)
    finally:
        write_text("\n")


def show_all(
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    tokens: Iterator[ndarray],
    settings: GenerationSettings,
    as_json: bool,
) -> None:
    """Prints several prompts and their continuations, once all have ended."""
    rows: list[list[int]] = [[] for _ in prompts]
    for step, new in enumerate(tokens, start=1):
        for row, token in zip(rows, new.tolist(), strict=True):
            row.append(token)
        if settings.stop_strings and step % EVERY == 0 and all(has_ended(tokenizer, row, settings) for row in rows):
            break
    for i, (prompt, row) in enumerate(zip(prompts, rows, strict=True), start=1):
        text = "".join(continuation(tokenizer, prompt, row, settings))
        if as_json:
            write_text(json.dumps({"prompt": prompt.text, "text": text}) + "\n")
        else:
            write_text(f"=== {i} of {len(prompts)}\n{prompt.text}{text}\n")


def has_ended(tokenizer: Tokenizer, row: Sequence[int], settings: GenerationSettings) -> bool:
    """Whether a stop token or a stop string is among these tokens."""
    text = tokenizer.decode(row, skip_special_tokens=True)
    return row[-1] in settings.eos_token_id or any(stop in text for stop in settings.stop_strings)


def continuation(
    tokenizer: Tokenizer, prompt: Prompt, tokens: Iterator[ndarray] | Sequence[int], settings: GenerationSettings
) -> Iterator[str]:
    """The text of the tokens after a prompt, up to where it ends."""
    return stream_text(
        tokens,
        decode_after(tokenizer, prompt),
        stop=settings.eos_token_id,
        stop_strings=settings.stop_strings,
    )
