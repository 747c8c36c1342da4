"""Does a BERT whose every gradient was derived by hand learn to fill in what is missing?

Of windows of text 15 % of the characters are hidden, most behind a mask, and an encoder that looks both ways predicts
them: masked-language-model training as in "BERT" (Devlin et al., 2018, section 3.1), of characters and small.

The paper has no figure for characters. Expected, on the embedded corpus, where counting single characters reaches 3.25
nats per hidden character: at most 2.4 with `paper`, and 2.6 with `quick`, which has half the steps. `paper` takes three
to four minutes on two cores, `quick` half of that, `smoke` a few seconds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchformer.layers import Trace
from scratchformer.models import BERT, BERTConfig
from scratchformer.optim import AdamW, WarmupCosine, WeightAverage
from scratchformer.recipes.options import RunOptions
from scratchformer.runs import (
    About,
    Recorder,
    Result,
    as_reference_run,
    begin_run,
    check_option,
    check_run,
    conclude,
    draw_losses,
    draw_norms,
    evaluations,
    is_as,
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
    MaskedBatches,
    TokenBatch,
    fixed_masked_batches,
    ngram_entropy,
    pydoc_corpus,
    read_corpus,
)
from scratchformer.training import Trainer

PROG = "masked_lm.py"
ABOUT = About(
    script=__file__,
    description=__doc__,
    source="Devlin et al., BERT, 2018, section 3.1, of characters and small",
    published="none for characters; counting single ones reaches 3.25 nats per hidden character",
    picture="loss.png",
)


@dataclass(frozen=True)
class Config(RunOptions):
    """Options of the run."""

    text: Path | None = None
    """UTF-8 text file to learn from; without one, the language reference inside Python (pydoc)."""

    layers: int = 4
    """Number of Transformer blocks."""
    heads: int = 4
    """Attention heads per block; must divide the width."""
    width: int = 128
    """Features of the residual stream."""
    context: int = 64
    """Characters in a window."""
    dropout: float = 0.0
    """Probability of dropping an element, in [0, 1)."""
    norm_first: bool = True
    """Pre-norm, which learns faster when small, instead of the published post-norm."""

    steps: int = 1250
    """Training steps: updates of the weights."""
    batch: int = 16
    """Windows per step."""
    share: float = 0.15
    """Share of the characters that are hidden, above 0 and at most 1."""
    learning_rate: float = 2e-3
    """Peak of the schedule, which ends at a tenth of it."""
    warmup: int = 200
    """Updates of linear rise to the peak."""
    average: float = 0.98
    """Decay of the moving average of the weights that is evaluated and saved; 0 for the last weights."""
    evaluate_every: int = 250
    """Updates between evaluations."""
    save_every: int = 250
    """Updates between checkpoints."""
    evaluation_batches: int = 40
    """How many fixed batches of the text's last tenth to evaluate at most, spread evenly."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""
        check_option("seed", self.seed, at_least=0, below=math.inf)
        sizes = ("threads", "layers", "heads", "width", "context", "steps", "batch", "evaluation_batches")
        for name in (*sizes, "evaluate_every", "save_every"):
            check_option(name, getattr(self, name), at_least=1)
        check_option("learning_rate", self.learning_rate, above=0, below=math.inf)
        check_option("warmup", self.warmup, at_least=0, below=self.steps)
        for name in ("dropout", "average"):
            check_option(name, getattr(self, name), at_least=0, below=1)
        check_run(self)


PRESETS = {
    "quick": Config(),
    "paper": Config(preset="paper", steps=2500),
    "smoke": Config(preset="smoke", layers=1, width=32, steps=60, warmup=10, evaluate_every=30, evaluation_batches=4),
}
TARGETS = {"quick": 2.6, "paper": 2.4}
"""Nats per hidden character."""


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        config = parse(PRESETS, prog=PROG, description=__doc__, arguments=arguments)
        if config.plot_only is not None:
            print("figures:", *draw(config.plot_only))
            return
        config.check()
        corpus = pydoc_corpus() if config.text is None else read_corpus(config.text)
        tokenizer = CharacterTokenizer.from_text(corpus.text)
        training, validation = map(tokenizer.encode, corpus.split())
        mask_id = tokenizer.vocabulary_size
        masking: dict[str, Any] = {
            "vocabulary_size": mask_id + 1,
            "mask_id": mask_id,
            "share": config.share,
            "seed": config.seed,
        }
        masked = MaskedBatches(training, config.batch, config.context, **masking)
        sizes = (config.context, config.layers, config.heads, config.width)
        options: dict[str, Any] = {"dropout": config.dropout, "norm_first": config.norm_first}
        model = BERT(BERTConfig(mask_id + 1, *sizes, **options), generator=np.random.default_rng(config.seed))
        trainer = Trainer(
            model,
            AdamW(model, betas=(0.9, 0.99), weight_decay=0.1),
            WarmupCosine(config.learning_rate, config.learning_rate / 10, config.warmup, config.steps),
            masked_loss,
            max_norm=1.0,
            average=WeightAverage(model, config.average),
            num_workers=config.threads,
            seed=config.seed,
        )
        run = {"options": options_of(config), "corpus": {"sha256": corpus.sha256}}
        folder = begin_run(config, ABOUT.name, run, describe_figures(config, corpus, tokenizer))
        held_out = fixed_masked_batches(validation, config.batch, config.context, config.evaluation_batches, **masking)
        recorder = Recorder(trainer, folder, run, held_out)

    print(f"{corpus.name}: {len(corpus.text):,} characters, {mask_id} distinct")
    print(f"model: {model.values.size:,} parameters, {config.threads} threads, results in {folder.path}", flush=True)
    every = {"evaluate_every": config.evaluate_every, "save_every": config.save_every}
    with one_sentence_errors(PROG, status=1, kind=FloatingPointError):
        seconds = run_training(trainer, lambda step: [masked(step)], recorder, num_steps=config.steps, **every)
    with trainer.evaluated():
        print(f"\n{fill_in(model, tokenizer, held_out[0], mask_id)}\n")
    result = judge(config, corpus, evaluations(folder.path)["losses"][-1])
    conclude(folder, ABOUT, config, [result], seconds if config.resume is None else None)
    with one_sentence_errors(PROG):
        print("figures:", *draw(folder.path))


def masked_loss(model: BERT, batch: TokenBatch, generator: np.random.Generator | None, trace: Trace | None) -> Any:
    return model.loss(batch.ids, batch.targets, generator=generator, trace=trace)


def fill_in(model: BERT, tokenizer: CharacterTokenizer, batch: TokenBatch, mask_id: int) -> str:
    """The first window with its masks, and with the likeliest character in each of their places."""
    ids = batch.ids[0]
    encoded, _ = model(ids)
    logits, _ = model.masked_head(encoded)
    filled = np.where(ids == mask_id, logits[:, :mask_id].argmax(axis=-1), ids)
    hidden = "".join("_" if i == mask_id else tokenizer.characters[i] for i in ids)
    return f"hidden: {hidden!r}\nfilled: {tokenizer.decode(filled)!r}"


def judge(config: Config, corpus: Corpus, loss: float) -> Result:
    """The last validation loss, with the target of the preset on the embedded text, whatever the seed."""
    known = [name for name in TARGETS if is_as(config, PRESETS[name], "evaluate_every", "save_every")]
    target = TARGETS[known[0]] if known and corpus.name == "pydoc" else None
    return Result("validation_loss_nats", loss, target)


def describe_figures(config: Config, corpus: Corpus, tokenizer: CharacterTokenizer) -> dict[str, Any]:
    """What the figures show beside the run itself: what counting reaches, and on the embedded text a run before."""
    training, validation = map(tokenizer.encode, corpus.split())
    reference = reference_curves(__file__, config.preset) if corpus.name == "pydoc" else {}
    return {
        "title": f"A BERT of the characters of {corpus.name}",
        "references": {"unigrams": ngram_entropy(training, validation, tokenizer.vocabulary_size, 1)},
        "reference_run": as_reference_run(reference),
    }


def draw(path: Path) -> list[Path]:
    """Draws all that a run folder holds the data of."""
    run = read_run(path, "title", "references", "reference_run", experiment=ABOUT.name)
    title, unit = str(run["title"]), "nats per hidden character"
    losses = draw_losses(path, run["references"], run["reference_run"], unit=unit, title=title)
    return [losses, draw_norms(path, title=title)]


if __name__ == "__main__":
    run_script(main, PROG)
