"""Does a BERT whose every gradient was derived by hand learn to fill in what is missing?

In windows of a text 15 % of the characters are hidden, most of them behind a mask. An encoder that looks both ways
predicts them. That is the masked language model of "BERT" (Devlin et al., 2018, section 3.1), small and of characters.

Muon trains the matrices of the blocks, as in the character model (recipes.md): with seed 0 half the steps then end as
low as all of them with AdamW alone.

The paper has no figure for characters. Expected on the embedded corpus, where counting single characters reaches 3.25
nats per hidden character: at most 1.5 with `paper`, and 2.2 with `quick`, which has half the steps. `paper` takes three
minutes on two cores, `quick` half of that, `smoke` a few seconds.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from scratchformer.models import BERT, BERTConfig, block_matrices
from scratchformer.optim import Muon, WarmupCosine, WeightAverage
from scratchformer.recipes.experiment import TrainingExperiment, run_experiment
from scratchformer.recipes.options import (
    Average,
    Count,
    Dropout,
    EvaluateEvery,
    EvaluationBatches,
    Heads,
    Layers,
    Positive,
    RunOptions,
    SaveEvery,
    Steps,
    Text,
    Warmup,
    Width,
)
from scratchformer.recipes.text_runs import TextFigures, chosen_corpus
from scratchformer.runs import About, Range, Result, RunFolder, Training, reference_run
from scratchformer.text import (
    CharacterTokenizer,
    MaskedBatches,
    TokenBatch,
    fixed_masked_batches,
    ngram_entropy,
)
from scratchformer.training import Trainer, next_token_loss

ABOUT = About(
    script=__file__,
    description=__doc__,
    source="Devlin et al., BERT, 2018, section 3.1, of characters and small",
    published="none for characters; counting single ones reaches 3.25 nats per hidden character",
    picture="loss.png",
)


@dataclass(frozen=True)
class Options(RunOptions):
    """The options of the run."""

    text: Text = None

    layers: Layers = 4
    heads: Heads = 4
    width: Width = 128
    context: Count = 64
    """Characters in a window."""
    dropout: Dropout = 0.0
    norm_first: bool = True
    """Pre-norm, which learns faster when small, instead of the published post-norm."""

    steps: Steps = 1250
    batch: Count = 16
    """Windows per step."""
    share: Annotated[float, Range(above=0, at_most=1)] = 0.15
    """Share of the characters that are hidden, above 0 and at most 1."""
    learning_rate: Positive = 6e-3
    """Peak of the schedule, which ends at a tenth of it."""
    warmup: Warmup = 100
    average: Average = 0.98
    evaluate_every: EvaluateEvery = 250
    save_every: SaveEvery = 250
    evaluation_batches: EvaluationBatches = 40


PRESETS = {
    "quick": Options(),
    "paper": Options(preset="paper", steps=2500),
    "smoke": Options(preset="smoke", layers=1, width=32, steps=60, warmup=10, evaluate_every=30, evaluation_batches=4),
}
TARGETS = {"quick": 2.2, "paper": 1.5}
"""Nats per hidden character."""


class MaskedModel(TrainingExperiment[Options, BERT, TokenBatch]):
    """A BERT that fills in hidden characters of a text."""

    about, presets = ABOUT, PRESETS

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.corpus = chosen_corpus(options.text)
        self.tokenizer = CharacterTokenizer.from_text(self.corpus.text)
        self.mask_id = num_characters = self.tokenizer.vocabulary_size
        training, validation = map(self.tokenizer.encode, self.corpus.split())
        masked = MaskedBatches(
            training,
            options.batch,
            options.context,
            vocabulary_size=num_characters + 1,
            mask_id=self.mask_id,
            share=options.share,
            seed=options.seed,
        )
        held_out = fixed_masked_batches(
            validation,
            options.batch,
            options.context,
            options.evaluation_batches,
            vocabulary_size=num_characters + 1,
            mask_id=self.mask_id,
            share=options.share,
            seed=options.seed,
        )
        trainer = masked_trainer(options, num_characters + 1)
        self.training = Training(trainer, lambda step: [masked(step)], held_out)
        self.introduction = f"{self.corpus.name}: {len(self.corpus.text):,} characters, {num_characters} distinct"
        self.depends_on["corpus"] = {"sha256": self.corpus.sha256}
        is_embedded = self.corpus.name == "pydoc"
        reference = reference_run(__file__, options.preset, self.corpus.sha256) if is_embedded else None
        levels = {"unigrams": ngram_entropy(training, validation, num_characters, 1)}
        self.notes |= asdict(TextFigures(f"A BERT of the characters of {self.corpus.name}", levels, reference))

    def judge(self, folder: RunFolder) -> list[Result]:
        """The last validation loss. Its target is that of the preset on the embedded text, whatever the seed."""
        with self.evaluated():
            print(f"\n{self.fill_in()}\n")
        known = [name for name in TARGETS if self.is_preset(name, free=("evaluate_every", "save_every"))]
        target = TARGETS[known[0]] if known and self.corpus.name == "pydoc" else None
        return [Result("validation_loss_nats", self.validation_loss, target)]

    def fill_in(self) -> str:
        """The first held-out window with its masks, and with the likeliest character in the place of each."""
        model, ids = self.model, self.training.evaluation_batches[0].ids[0]
        encoded, _ = model(ids)
        assert model.masked_head is not None
        logits, _ = model.masked_head(encoded)
        filled = np.where(ids == self.mask_id, logits[:, : self.mask_id].argmax(axis=-1), ids)
        hidden = "".join("_" if i == self.mask_id else self.tokenizer.characters[i] for i in ids)
        return f"hidden: {hidden!r}\nfilled: {self.tokenizer.decode(filled)!r}"

    @classmethod
    def draw(cls, path: Path) -> list[Path]:
        return TextFigures.read(path, ABOUT.name).draw(path, unit="nats per hidden character")


def masked_trainer(options: Options, vocabulary_size: int) -> Trainer[BERT, TokenBatch]:
    """A BERT and its training to predict the hidden characters."""
    sizes = (options.context, options.layers, options.heads, options.width)
    config = BERTConfig(vocabulary_size, *sizes, dropout=options.dropout, norm_first=options.norm_first)
    model = BERT(config, generator=np.random.default_rng(options.seed))
    return Trainer(
        model,
        Muon(model, block_matrices(model), betas=(0.9, 0.99), weight_decay=0.1),
        WarmupCosine(options.learning_rate, options.learning_rate / 10, options.warmup, options.steps),
        next_token_loss,  # which counts the targets that a batch has: the hidden characters
        max_norm=1.0,
        average=WeightAverage(model, options.average),
        num_workers=options.threads,
        seed=options.seed,
    )


if __name__ == "__main__":
    run_experiment(MaskedModel)
