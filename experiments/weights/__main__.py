"""What do weights in fewer bits cost? Measures perplexity, tokens a second and memory of a language model in each form.

The forms are those of `load(path, weights=...)`. Fresh processes of all forms take turns, on one thread of BLAS:

- Perplexity is exp of the mean loss of a token, in nats. The text is the beginning of Python's language reference, or
  of `--text`. The model reads it in windows of 512 tokens, each without what came before.
- Tokens a second are those of greedy decoding, behind a prompt of 16 tokens; of the processes, the fastest counts.
- Memory is what a process holds after loading, beyond what it held with the package imported; of the processes, the
  one with the least counts.

SmolLM2-135M takes about two and a half minutes on two cores.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from experiments.speed.fresh_process import Failure, ask
from experiments.speed.table import print_table
from experiments.weights.measure import Figures, measure
from scratchformer.commands.model_files import check_decoder, find_model
from scratchformer.pretrained import load_tokenizer
from scratchformer.pretrained.loading import Weights, open_model
from scratchformer.pretrained.memory import weight_bytes
from scratchformer.recipes.options import Count
from scratchformer.recipes.text_runs import chosen_corpus
from scratchformer.runs import check_ranges, one_sentence_errors, parse, run_script

PROG = "python -m experiments.weights"
HEADER = "weights", "perplexity", "tokens/s", "memory, MiB", "loading, s"


@dataclass(frozen=True)
class Options:
    """What is measured."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL]")] = "smollm2"
    """A GGUF file or a folder of Hugging Face's layout; or smollm2, which is downloaded when it is not here."""
    text: Path | None = None
    """A file with the text; without it, Python's language reference."""
    tokens: Count = 2048
    """Tokens of the text that are read."""
    new_tokens: Count = 40
    """Tokens that are decoded."""
    processes: Count = 3
    """Processes of each form."""


def main(arguments: Sequence[str]) -> None:
    options = parse({"default": Options()}, prog=PROG, description=__doc__, arguments=arguments)
    with one_sentence_errors(PROG):
        check_ranges(options)
        path = find_model(options.model)
        check_decoder(path)
        forms = list(weight_bytes(open_model(path)))
        ids = load_tokenizer(path).encode(chosen_corpus(options.text).text)[: options.tokens]
        if len(ids) < 2:
            raise ValueError(f"the text has {len(ids)} tokens, expected at least 2")
    with one_sentence_errors(PROG, status=1, kind=Failure):
        found: dict[Weights, list[Figures]] = {form: [] for form in forms}
        for _ in range(options.processes):
            for form in forms:
                found[form].append(ask(partial(measure, path, form, ids, options.new_tokens), f"measure {form}"))
        print_table([HEADER, *(cells(form, figures) for form, figures in found.items())])


def cells(form: str, processes: Sequence[Figures]) -> tuple[str, ...]:
    """A row of the table."""
    return (
        form,
        f"{processes[0].perplexity:.4f}",
        f"{max(figures.tokens_per_second for figures in processes):.1f}",
        f"{min(figures.memory for figures in processes) / 2**20:.0f}",
        f"{min(figures.seconds for figures in processes):.1f}",
    )


if __name__ == "__main__":
    run_script(main, PROG)
