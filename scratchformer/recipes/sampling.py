"""Samples from a trained character model: options, the model of a run, and the text as it comes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from scratchformer.generation import Choice, Sampling, generate, greedy
from scratchformer.models import GPT, Llama
from scratchformer.recipes.options import Count, Natural, NotNegative
from scratchformer.runs.command_line import one_sentence_errors, parse
from scratchformer.runs.folder import load_run
from scratchformer.runs.ranges import check_ranges
from scratchformer.text import CharacterTokenizer
from scratchformer.training import load, load_tokenizer


@dataclass(frozen=True)
class Options:
    """The options of the sample."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder, whose best model is taken, or one of its checkpoints."""
    prompt: str = ""
    """Text to continue; without one, a line break, or the first character of the vocabulary if it has no line break."""
    tokens: Natural = 500
    """Characters to add."""
    temperature: NotNegative = 0.8
    """Below 1 prefers likely characters, 0 always takes the likeliest."""
    top_k: Count = 50
    """Choose among this many most likely characters."""
    seed: Natural = 0
    """Seed of the sampling."""


DEFAULT = Options(run=tyro.MISSING)


def print_sample(arguments: Sequence[str], prog: str, description: str) -> None:
    """Prints a prompt and how the model of a run continues it, as the arguments of a command line say.

    Prints one sentence and exits with status 2 if an argument or a file is wrong.
    """
    with one_sentence_errors(prog):
        options = parse({"default": DEFAULT}, prog=prog, description=description, arguments=arguments)
        check_ranges(options)
        model, tokenizer = load_model(options.run)
        prompt = tokenizer.encode(options.prompt or tokenizer.first_prompt)
    choose: Choice = greedy
    if options.temperature:
        choose = Sampling(np.random.default_rng(options.seed), options.temperature, options.top_k)
    print(options.prompt, end="", flush=True)
    for token in generate(model, prompt, options.tokens, context_length=model.config.context_length, choose=choose):
        print(tokenizer.decode(token[None]), end="", flush=True)
    print()


def load_model(path: Path) -> tuple[GPT | Llama, CharacterTokenizer]:
    """The model and the tokenizer of a run, or of a checkpoint. Raises ValueError for those of another model."""
    model = load_run(path) if path.is_dir() else load(path)
    tokenizer = load_tokenizer(path)
    if not isinstance(model, GPT | Llama):
        raise ValueError(f"{path} is not of a character model")
    if (size := tokenizer.vocabulary_size) != model.config.vocabulary_size:
        raise ValueError(f"{path} is damaged: its tokenizer has {size} characters, not {model.config.vocabulary_size}")
    return model, tokenizer
