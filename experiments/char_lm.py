"""Does a GPT, or a Llama, whose every gradient was derived by hand learn English as fast, and as well, as PyTorch's?

Source: nanoGPT's CPU example for character-level Shakespeare (https://github.com/karpathy/nanoGPT, README): 4 layers,
4 heads, width 128, context 64, batch 12, 2,000 steps, AdamW. It reports a validation loss of 1.88 nats per character.

Beyond it: batches go through the whole text before any of it comes again, and a moving average of the weights is
evaluated (`--average 0` for the last weights).

`--model llama` trains a Llama of the same sizes and no more parameters: RMS norms, rotary positions, SwiGLU. A GPT may
differ from GPT-2 in its positions, norms and activation, and be trained by another optimizer than AdamW;
optimizers.py and ablations.py compare such runs.

Expected: at most 1.90 on that text; at most 1.62 on the embedded corpus, where counting trigrams reaches 1.82. The
preset `quick` takes one to two minutes on two cores, `paper` is the same, `smoke` takes a few seconds.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchformer.generation import Sampling, generate
from scratchformer.models import GPT, Llama
from scratchformer.recipes.language_model import LanguageModelOptions, language_model_trainer
from scratchformer.runs import (
    About,
    Recorder,
    Result,
    as_reference_run,
    begin_run,
    check_option,
    comparable_run,
    conclude,
    draw_attention,
    draw_losses,
    draw_norms,
    evaluations,
    is_as,
    load_run,
    one_sentence_errors,
    options_of,
    parse,
    read_run,
    reference_curves,
    run_script,
    run_training,
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
from scratchformer.training import BEST

ABOUT = About(
    script=__file__,
    description=__doc__,
    source="nanoGPT's CPU example, https://github.com/karpathy/nanoGPT",
    published="1.88 nats per character of Shakespeare",
    picture="loss.png",
)
TINY_SHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


@dataclass(frozen=True)
class Config(LanguageModelOptions):
    """Options of the run."""

    plot_only: Path | None = None
    """Run folder whose figures are drawn anew; of the other options only those that concern figures count."""
    text: Path | None = None
    """UTF-8 text file to learn from; without one, the language reference inside Python (pydoc)."""
    reference_run: Path | None = None
    """Run folder whose validation loss is drawn in grey behind this run's."""

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
    figures: bool = True
    """Whether figures are drawn at the end; `--plot-only` draws them at any time."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""
        super().check()
        check_option("sample", self.sample, at_least=0)
        for name in ("evaluate_every", "save_every", "evaluation_batches", "top_k"):
            check_option(name, getattr(self, name), at_least=1)
        check_option("temperature", self.temperature, above=0, below=math.inf)
        if (length := len(self.attention_text)) > (longest := min(40, self.context)):
            raise ValueError(f"--attention-text has {length} characters, at most {longest} are drawn")


PRESETS = {
    "quick": Config(),
    "paper": Config(preset="paper"),
    "smoke": Config(
        preset="smoke",
        layers=2,
        width=64,
        steps=300,
        warmup=30,
        learning_rate=3e-3,
        evaluate_every=100,
        evaluation_batches=40,
    ),
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
        trainer = language_model_trainer(config, tokenizer.vocabulary_size)
        run = {
            "options": options_of(config),
            "corpus": {"characters": len(corpus.text), "sha256": corpus.sha256},
            "tokenizer": asdict(tokenizer),
        }
        figures = describe_figures(config, corpus, tokenizer)
        folder = begin_run(config, "char_lm", run, figures)
        recorder = Recorder(trainer, folder, run, evaluation_batches)

    print(f"{corpus.name}: {len(corpus.text):,} characters, {tokenizer.vocabulary_size} distinct")
    print(f"model: {trainer.model.values.size:,} parameters, {config.threads} threads, results in {folder.path}")
    if config.resume is not None:
        print(f"it goes on after step {trainer.optimizer.num_steps} of {config.steps}", flush=True)

    def batches(step: int) -> list[TokenBatch]:
        return [shuffled(step * config.accumulate + i) for i in range(config.accumulate)]

    every = {"evaluate_every": config.evaluate_every, "save_every": config.save_every}
    with one_sentence_errors("char_lm.py", status=1, kind=FloatingPointError):
        seconds = run_training(trainer, batches, recorder, num_steps=config.steps, **every)
    with trainer.evaluated(), np.errstate(all="ignore"):
        sample = sample_text(trainer.model, tokenizer, config)
    folder.write_text("sample.txt", sample)
    print(f"\nA sample at temperature {config.temperature:g}:\n{sample}\n")
    target, _ = known_targets(config, corpus)
    result = Result("validation_loss_nats", evaluations(folder.path)["losses"][-1], target)
    conclude(folder, ABOUT, config, [result], seconds if config.resume is None else None)
    if config.figures:
        with one_sentence_errors("char_lm.py"):
            draw(folder.path, config)


def encode(corpus: Corpus, tokenizer: CharacterTokenizer, context: int) -> tuple[np.ndarray, np.ndarray]:
    """The ids of the first nine tenths of the text, to train on, and of the last tenth, to validate on."""
    training, validation = corpus.split()
    if (length := len(validation)) <= context:
        needed = f"--context {context} needs at least {context + 1}"
        raise ValueError(f"the last tenth of {corpus.name} has {length} characters, {needed}")
    return tokenizer.encode(training), tokenizer.encode(validation)


def sample_text(model: GPT | Llama, tokenizer: CharacterTokenizer, config: Config) -> str:
    choose = Sampling(np.random.default_rng(config.seed), config.temperature, config.top_k)
    prompt = tokenizer.encode("\n" if "\n" in tokenizer.characters else tokenizer.characters[0])
    ids = generate(model, prompt, config.sample, context_length=config.context, choose=choose)
    return tokenizer.decode(np.array(list(ids), dtype=np.intp)).strip("\n")


def is_published(config: Config) -> bool:
    """Whether the run trains and is measured as the preset that figures are known of, whatever its seed and text."""
    presented = "save_every", "evaluate_every", "sample", "temperature", "top_k", "attention_text", "figures"
    return is_as(config, PRESETS["quick"], *presented)


def known_targets(config: Config, corpus: Corpus) -> tuple[float | None, dict[str, float]]:
    """What a run should reach on a text, and what others reached there."""
    if not is_published(config):
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
    reference_run = None
    if config.reference_run is not None:
        reference_run = comparable_run(config.reference_run, corpus.sha256)
    elif corpus.name == "pydoc" and is_published(config):
        reference_run = as_reference_run(reference_curves(__file__, config.preset))
    return {
        "title": f"A character model of {corpus.name}",
        "references": ngrams | published,
        "reference_run": reference_run,
        "attention_text": text,
    }


def draw(path: Path, config: Config) -> None:
    """Draws all that a run folder holds the data of, with the text and the reference run of these options if given."""
    shown = "title", "corpus", "references", "reference_run", "tokenizer", "attention_text"
    run = read_run(path, *shown, experiment=ABOUT.name)
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
