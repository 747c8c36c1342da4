"""What does a trained character model go on with? Streams its continuation of a prompt.

For example `sample.py runs/char_lm-001 --prompt "The statement" --tokens 300`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from scratchformer.generation import Sampling, generate, greedy
from scratchformer.models import GPT, Llama
from scratchformer.runs import check_option, load_run, one_sentence_errors, parse, run_script
from scratchformer.text import CharacterTokenizer
from scratchformer.training import load, read_checkpoint, trained_checkpoint


@dataclass(frozen=True)
class Config:
    """Options of the sample."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder, whose best model is taken, or one of its checkpoints."""
    prompt: str = ""
    """Text to go on from; without one, a line break."""
    tokens: int = 500
    """Characters to add."""
    temperature: float = 0.8
    """Below 1 prefers likely characters, 0 always takes the likeliest."""
    top_k: int = 50
    """Choose among this many most likely characters."""
    seed: int = 0
    """Seed of the sampling."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""
        for name in ("tokens", "seed"):
            check_option(name, getattr(self, name), at_least=0)
        check_option("temperature", self.temperature, at_least=0, below=float("inf"))
        check_option("top_k", self.top_k, at_least=1)


DEFAULT = Config(run=tyro.MISSING)


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors("sample.py"):
        config = parse({"default": DEFAULT}, prog="sample.py", description=__doc__, arguments=arguments)
        config.check()
        model, tokenizer = load_model(config.run)
        prompt = tokenizer.encode(config.prompt or "\n")
    choose: Any = greedy
    if config.temperature:
        choose = Sampling(np.random.default_rng(config.seed), config.temperature, config.top_k)
    print(config.prompt, end="", flush=True)
    for token in generate(model, prompt, config.tokens, context_length=model.config.context_length, choose=choose):
        print(tokenizer.decode(token[None]), end="", flush=True)
    print()


def load_model(path: Path) -> tuple[GPT | Llama, CharacterTokenizer]:
    """The model and the tokenizer of a run. Raises ValueError when it is not one of a character model."""
    model = load_run(path) if path.is_dir() else load(path)
    run = read_checkpoint(trained_checkpoint(path)).description.get("run", {})
    if not isinstance(model, GPT | Llama) or "tokenizer" not in run:
        raise ValueError(f"{path} is not of a character model")
    return model, CharacterTokenizer(**run["tokenizer"])


if __name__ == "__main__":
    run_script(main, "sample.py")
