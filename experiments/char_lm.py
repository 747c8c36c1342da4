"""Does a GPT, or a Llama, whose every gradient was derived by hand learn English as fast, and as well, as PyTorch's?

Source: nanoGPT's CPU example for character-level Shakespeare (https://github.com/karpathy/nanoGPT, README): 4 layers,
4 heads, width 128, context 64, batch 12, 2,000 steps, AdamW. It reports a validation loss of 1.88 nats per character.

Beyond it: batches go through the whole text before any of it comes again, and a moving average of the weights is
evaluated (`--average 0` for the last weights).

`--model llama` trains a Llama of the same sizes and no more parameters: RMS norms, rotary positions, SwiGLU.

Expected: at most 1.90 on that text; at most 1.62 on the embedded corpus, where counting trigrams reaches 1.82. The
default preset takes one to two minutes on two cores, `smoke` a few seconds.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scratchformer.generation import Sampling, generate
from scratchformer.models import GPT, GPTConfig, Llama, LlamaConfig
from scratchformer.optim import AdamW, WarmupCosine, WeightAverage
from scratchformer.runs import (
    Recorder,
    begin_run,
    check_option,
    check_run,
    comparable_run,
    draw_attention,
    draw_losses,
    draw_norms,
    evaluations,
    load_run,
    one_sentence_errors,
    options_of,
    parse,
    read_run,
    run_script,
    run_training,
    summarize,
)
from scratchformer.text import (
    CharacterTokenizer,
    Corpus,
    ShuffledBatches,
    TokenBatch,
    fixed_batches,
    ngram_entropy,
    pydoc_corpus,
    read_corpus,
)
from scratchformer.training import BEST, Trainer, next_token_loss

TINY_SHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


@dataclass(frozen=True)
class Config:
    """Options of the run."""

    preset: Literal["default", "smoke"] = "default"
    """Where the other options start from: nanoGPT's CPU example, or a run of a few seconds."""
    text: Path | None = None
    """UTF-8 text file to learn from; without one, the language reference inside Python (pydoc)."""
    out: Path | None = None
    """Folder for the results, new or empty; without one, the next free runs/char_lm-NNN."""
    resume: Path | None = None
    """Run folder to go on with, bit for bit, from its last checkpoint; its own options apply."""
    plot_only: Path | None = None
    """Run folder whose figures are drawn anew; of the other options only those that concern figures count."""
    reference_run: Path | None = None
    """Run folder whose validation loss is drawn in grey behind this run's."""
    seed: int = 0
    """Seed of initialisation, batches, dropout and samples."""
    threads: int = 2
    """Worker threads; each takes a share of every batch."""

    model: Literal["gpt", "llama"] = "gpt"
    """Which family the model is of."""
    layers: int = 4
    """Number of Transformer blocks."""
    heads: int = 4
    """Attention heads per block; must divide the width."""
    width: int = 128
    """Features of the residual stream."""
    context: int = 64
    """Longest sequence, in characters."""
    dropout: float = 0.0
    """Probability of dropping an element, in [0, 1)."""
    bias: bool = False
    """Whether linear maps and norms have biases."""

    steps: int = 2000
    """Training steps: updates of the weights."""
    batch: int = 12
    """Sequences per micro-batch."""
    accumulate: int = 1
    """Micro-batches whose gradients make one update."""
    learning_rate: float = 1e-3
    """Peak of the schedule."""
    final_learning_rate: float = 1e-4
    """End of the schedule's cosine."""
    warmup: int = 100
    """Updates of linear rise to the peak."""
    betas: tuple[float, float] = (0.9, 0.99)
    """AdamW's decay rates of the gradient's mean and of its square."""
    weight_decay: float = 0.1
    """AdamW's decoupled decay, on matrices and tables only."""
    clip: float = 1.0
    """Largest global norm of the gradient."""
    average: float = 0.98
    """Decay of the moving average of the weights that is evaluated, sampled and saved; 0 for the last weights."""

    evaluate_every: int = 250
    """Updates between evaluations."""
    save_every: int = 250
    """Updates between checkpoints."""
    evaluation_batches: int = 200
    """How many fixed batches of the text's last tenth to evaluate at most, spread evenly."""
    sample: int = 500
    """How many characters to sample after training."""
    temperature: float = 0.8
    """Temperature of the samples; below 1 prefers likely characters."""
    top_k: int = 50
    """Samples choose among this many most likely characters."""
    attention_text: str = ""
    """Text of at most 40 characters to draw the attention maps of; without one, 16 of the text's last tenth."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""
        for name in ("seed", "warmup", "final_learning_rate", "weight_decay", "sample"):
            check_option(name, getattr(self, name), at_least=0, below=math.inf)
        sizes = ("layers", "heads", "width", "context", "steps", "batch", "accumulate", "top_k", "evaluation_batches")
        for name in ("threads", *sizes, "evaluate_every", "save_every"):
            check_option(name, getattr(self, name), at_least=1)
        for name in ("learning_rate", "clip", "temperature"):
            check_option(name, getattr(self, name), above=0, below=math.inf)
        for name in ("dropout", "average"):
            check_option(name, getattr(self, name), at_least=0, below=1)
        for beta in self.betas:
            check_option("betas", beta, at_least=0, below=1)
        if self.width % self.heads:
            raise ValueError(f"--heads {self.heads} does not divide --width {self.width}")
        if self.model == "llama" and (self.bias or self.width // self.heads % 2):
            raise ValueError("--model llama has no --bias, and heads of an even width")
        check_run(self)
        if self.warmup >= self.steps:
            raise ValueError(f"--warmup {self.warmup} must be less than --steps {self.steps}")
        if (length := len(self.attention_text)) > (longest := min(40, self.context)):
            raise ValueError(f"--attention-text has {length} characters, at most {longest} are drawn")


PRESETS = {
    "default": Config(),
    "smoke": Config(preset="smoke", layers=2, width=64, steps=300, warmup=30, learning_rate=3e-3, evaluate_every=100),
}


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors("char_lm.py"):
        config = parse(PRESETS, prog="char_lm.py", description=__doc__, arguments=arguments)
        if config.plot_only is not None:
            draw(config.plot_only, config)
            return
        config.check()
        corpus = pydoc_corpus() if config.text is None else read_corpus(config.text)
        tokenizer = CharacterTokenizer.from_text(corpus.text)
        training, validation = encode(corpus, tokenizer, config.context)
        shuffled = ShuffledBatches(training, config.batch, config.context, seed=config.seed)
        evaluation_batches = fixed_batches(validation, config.batch, config.context, config.evaluation_batches)
        model = make_model(config, tokenizer.vocabulary_size)
        trainer = Trainer(
            model,
            AdamW(model, betas=config.betas, weight_decay=config.weight_decay),
            WarmupCosine(config.learning_rate, config.final_learning_rate, config.warmup, config.steps),
            next_token_loss,
            max_norm=config.clip,
            average=WeightAverage(model, config.average),
            num_workers=config.threads,
            seed=config.seed,
        )
        run = {
            "options": options_of(config),
            "corpus": {"characters": len(corpus.text), "sha256": corpus.sha256},
            "tokenizer": asdict(tokenizer),
        }
        figures = describe_figures(config, corpus, tokenizer)
        folder = begin_run(config, "char_lm", run, figures)
        recorder = Recorder(trainer, folder, run, evaluation_batches)

    print(f"{corpus.name}: {len(corpus.text):,} characters, {tokenizer.vocabulary_size} distinct")
    print(f"model: {model.values.size:,} parameters, {config.threads} threads, results in {folder.path}")
    if config.resume is not None:
        print(f"it goes on after step {trainer.optimizer.num_steps} of {config.steps}", flush=True)

    def batches(step: int) -> list[TokenBatch]:
        return [shuffled(step * config.accumulate + i) for i in range(config.accumulate)]

    every = {"evaluate_every": config.evaluate_every, "save_every": config.save_every}
    with one_sentence_errors("char_lm.py", status=1, kind=FloatingPointError):
        seconds = run_training(trainer, batches, recorder, num_steps=config.steps, **every)
    with trainer.evaluated(), np.errstate(all="ignore"):
        sample = sample_text(model, tokenizer, config)
    folder.write_text("sample.txt", sample)
    target, _ = known_targets(config, corpus)
    achieved = evaluations(folder.path)["losses"][-1]
    summary = summarize("validation_loss", achieved, target, seconds if config.resume is None else None)
    folder.write_json("summary", summary)
    print(f"\nA sample at temperature {config.temperature:g}:\n{sample}\n\n{json.dumps(summary)}")
    with one_sentence_errors("char_lm.py"):
        draw(folder.path, config)


def encode(corpus: Corpus, tokenizer: CharacterTokenizer, context: int) -> tuple[np.ndarray, np.ndarray]:
    """The ids of the first nine tenths of the text, to train on, and of the last tenth, to validate on."""
    training, validation = corpus.split()
    if (length := len(validation)) <= context:
        needed = f"--context {context} needs at least {context + 1}"
        raise ValueError(f"the last tenth of {corpus.name} has {length} characters, {needed}")
    return tokenizer.encode(training), tokenizer.encode(validation)


def make_model(config: Config, vocabulary_size: int) -> GPT | Llama:
    generator = np.random.default_rng(config.seed)
    sizes: dict[str, Any] = {
        "context_length": config.context,
        "num_layers": config.layers,
        "num_heads": config.heads,
        "d_model": config.width,
        "dropout": config.dropout,
        "tied_head": True,
    }
    if config.model == "llama":
        return Llama(LlamaConfig(vocabulary_size, **sizes), generator=generator)
    return GPT(GPTConfig(vocabulary_size, bias=config.bias, **sizes), generator=generator)


def sample_text(model: GPT | Llama, tokenizer: CharacterTokenizer, config: Config) -> str:
    choose = Sampling(np.random.default_rng(config.seed), config.temperature, config.top_k)
    prompt = tokenizer.encode("\n" if "\n" in tokenizer.characters else tokenizer.characters[0])
    ids = generate(model, prompt, config.sample, context_length=config.context, choose=choose)
    return tokenizer.decode(np.array(list(ids), dtype=np.intp)).strip("\n")


def known_targets(config: Config, corpus: Corpus) -> tuple[float | None, dict[str, float]]:
    """What the default preset should reach on a text, whatever its seed, and what others reached there."""
    presented = ("seed", "threads", "save_every", "evaluate_every", "sample", "temperature", "top_k", "attention_text")
    same = {name: getattr(PRESETS["default"], name) for name in presented}
    if options_of(replace(config, **same)) != options_of(PRESETS["default"]):
        return None, {}
    if corpus.name == "pydoc":
        return 1.62, {}
    if corpus.sha256 == TINY_SHAKESPEARE:
        return 1.90, {"nanoGPT": 1.88}
    return None, {}


def describe_figures(config: Config, corpus: Corpus, tokenizer: CharacterTokenizer) -> dict[str, Any]:
    """What the figures show beside the run itself: levels and a run to compare with, a text for the attention maps."""
    training, validation = map(tokenizer.encode, corpus.split())
    ngrams = {
        name: ngram_entropy(training, validation, tokenizer.vocabulary_size, order)
        for order, name in ((1, "unigrams"), (2, "bigrams"), (3, "trigrams"))
        if len(validation) >= order
    }
    _, published = known_targets(config, corpus)
    text = config.attention_text or tokenizer.decode(validation[: min(16, config.context)])
    tokenizer.encode(text)  # says now, not after training, what it cannot show
    return {
        "title": f"A character model of {corpus.name}",
        "references": ngrams | published,
        "reference_run": None if config.reference_run is None else comparable_run(config.reference_run, corpus.sha256),
        "attention_text": text,
    }


def draw(path: Path, config: Config) -> None:
    """Draws all that a run folder holds the data of, with the text and the reference run of these options if given."""
    run = read_run(path, "options", "title", "corpus", "references", "reference_run", "tokenizer", "attention_text")
    try:
        references = {str(name): float(level) for name, level in run["references"].items()}
        text, tokenizer = str(config.attention_text or run["attention_text"]), CharacterTokenizer(**run["tokenizer"])
        title, reference_run, sha256 = str(run["title"]), run["reference_run"], run["corpus"]["sha256"]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path / 'config.json'} is damaged: {error}") from None
    if config.reference_run is not None:
        reference_run = comparable_run(config.reference_run, sha256)
    losses = draw_losses(path, references, reference_run, unit="nats per character", title=title)
    figures = [losses, draw_norms(path, title=title)]
    if (path / BEST).exists():  # else it was killed before it evaluated
        figures.append(draw_attention(path, load_run(path), tokenizer.encode(text), text, title=title))
    print("figures:", *figures)


if __name__ == "__main__":
    run_script(main, "char_lm.py")
