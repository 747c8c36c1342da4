"""Does a GPT, or a Llama, whose every gradient was derived by hand learn English as fast, and as well, as PyTorch's?

Source: nanoGPT's CPU example for character-level Shakespeare (https://github.com/karpathy/nanoGPT, README): 4 layers,
4 heads, width 128, context 64, batch 12, 2,000 steps, AdamW. It reports a validation loss of 1.88 nats per character.

Unlike in the source, batches go through the whole text before any part of it is repeated, and a moving average of the
weights is evaluated (`--average 0` for the last weights).

`--model llama` trains a Llama of the same sizes, with no more parameters: RMS norms, rotary positions, SwiGLU. Options
give a GPT other positions, norms and activations than GPT-2's, and another optimizer than AdamW; optimizers.py and
ablations.py compare such runs.

Expected: at most 1.90 on that text; at most 1.62 on the embedded corpus, where counting trigrams reaches 1.82. The
preset `quick` takes one to two minutes on two cores, `paper` is the same, `smoke` takes a few seconds.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy import ndarray

from scratchformer.generation import Sampling, generate
from scratchformer.models import GPT, Llama
from scratchformer.recipes.experiment import TrainingExperiment, run_experiment
from scratchformer.recipes.language_model import LanguageModelOptions, language_model_trainer
from scratchformer.recipes.options import (
    Count,
    EvaluateEvery,
    EvaluationBatches,
    Natural,
    Positive,
    SaveEvery,
    Text,
    is_as,
)
from scratchformer.recipes.text_runs import TextFigures, chosen_corpus
from scratchformer.runs import (
    About,
    Result,
    RunFolder,
    Training,
    comparable_run,
    draw_attention,
    read_run,
    reference_run,
)
from scratchformer.text import (
    CharacterTokenizer,
    Corpus,
    ShuffledBatches,
    TokenBatch,
    fixed_batches,
    ngram_entropy,
)

ABOUT = About(
    script=__file__,
    description=__doc__,
    source="nanoGPT's CPU example, https://github.com/karpathy/nanoGPT",
    published="1.88 nats per character of Shakespeare",
    picture="loss.png",
)
TINY_SHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
NGRAMS = {1: "unigrams", 2: "bigrams", 3: "trigrams"}


@dataclass(frozen=True)
class Options(LanguageModelOptions):
    """The options of the run."""

    plot_only: Path | None = None
    """Run folder whose figures are drawn anew; of the other options only --attention-text and --reference-run count."""
    text: Text = None
    reference_run: Path | None = None
    """Run folder whose validation loss is drawn in grey behind this run's."""

    evaluate_every: EvaluateEvery = 250
    save_every: SaveEvery = 250
    evaluation_batches: EvaluationBatches = 200
    sample: Natural = 500
    """How many characters to sample after training."""
    temperature: Positive = 0.8
    """Temperature of the samples; below 1 prefers likely characters."""
    top_k: Count = 50
    """How many of the most likely characters a sample chooses among."""
    attention_text: str = ""
    """Text whose attention maps are drawn, of at most 40 characters; without one, 16 of the text's last tenth."""
    figures: bool = True
    """Whether figures are drawn at the end; `--plot-only` draws them at any time."""

    def check(self) -> None:
        super().check()
        if (length := len(self.attention_text)) > (longest := min(40, self.context)):
            raise ValueError(f"--attention-text has {length} characters, at most {longest} are drawn")


PRESETS = {
    "quick": Options(),
    "paper": Options(preset="paper"),
    "smoke": Options(
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


class CharacterModel(TrainingExperiment[Options, GPT | Llama, TokenBatch]):
    """A GPT or a Llama that predicts the next character of a text."""

    about, presets = ABOUT, PRESETS

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.corpus = chosen_corpus(options.text)
        self.tokenizer = CharacterTokenizer.from_text(self.corpus.text)
        training, validation = encode(self.corpus, self.tokenizer, options.context)
        self.shuffled = ShuffledBatches(training, options.batch, options.context, seed=options.seed)
        held_out = fixed_batches(validation, options.batch, options.context, options.evaluation_batches)
        trainer = language_model_trainer(options, self.tokenizer.vocabulary_size)
        self.training = Training(trainer, self.batches, held_out)
        self.introduction = (
            f"{self.corpus.name}: {len(self.corpus.text):,} characters, {self.tokenizer.vocabulary_size} distinct"
        )
        self.depends_on["corpus"] = {"characters": len(self.corpus.text), "sha256": self.corpus.sha256}
        self.depends_on["tokenizer"] = asdict(self.tokenizer)
        self.notes |= asdict(self.figures(training, validation))
        self.notes["attention_text"] = options.attention_text or self.tokenizer.decode(
            validation[: min(16, options.context)]
        )
        self.tokenizer.encode(options.attention_text)  # raises now, not after the training, where it cannot be shown

    def batches(self, step: int) -> list[TokenBatch]:
        n = self.options.accumulate
        return [self.shuffled(step * n + i) for i in range(n)]

    def figures(self, training: ndarray, validation: ndarray) -> TextFigures:
        """What the losses are compared with: counting n-grams, what others reached, and another run."""
        size = self.tokenizer.vocabulary_size
        orders = [order for order in NGRAMS if len(validation) >= order]
        levels = {NGRAMS[order]: ngram_entropy(training, validation, size, order) for order in orders}
        _, published = known_targets(self.options, self.corpus)
        reference = None
        if self.options.reference_run is not None:
            reference = comparable_run(self.options.reference_run, self.corpus.sha256)
        elif self.corpus.name == "pydoc" and is_published(self.options):
            reference = reference_run(__file__, self.options.preset)
        return TextFigures(f"A character model of {self.corpus.name}", levels | published, reference)

    def judge(self, folder: RunFolder) -> list[Result]:
        """The last validation loss."""
        with self.evaluated():
            sample = self.sample()
        folder.write_text("sample.txt", sample)
        print(f"\nA sample at temperature {self.options.temperature:g}:\n{sample}\n")
        target, _ = known_targets(self.options, self.corpus)
        return [Result("validation_loss_nats", self.validation_loss, target)]

    def sample(self) -> str:
        """What the model writes after a line break, or after the first character where the text has none."""
        options, tokenizer = self.options, self.tokenizer
        choose = Sampling(np.random.default_rng(options.seed), options.temperature, options.top_k)
        prompt = tokenizer.encode(tokenizer.first_prompt)
        model = self.model
        ids = generate(model, prompt, options.sample, context_length=options.context, choose=choose)
        return tokenizer.decode(np.array(list(ids), dtype=np.intp)).strip("\n")

    @classmethod
    def draw(cls, path: Path) -> list[Path]:
        return cls.draw_for(PRESETS["quick"], path)

    @classmethod
    def draw_for(cls, options: Options, path: Path) -> list[Path]:
        """Draws with the attention text and the reference run of these options, or else with those of the run."""
        if not options.figures and options.plot_only is None:
            return []
        figures = TextFigures.read(path, ABOUT.name)
        run = read_run(path, "corpus", "tokenizer", "attention_text")
        try:
            text, tokenizer = (
                str(options.attention_text or run["attention_text"]),
                CharacterTokenizer(**run["tokenizer"]),
            )
            sha256 = run["corpus"]["sha256"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path / 'config.json'} is damaged: {error}") from None
        if options.reference_run is not None:
            figures = replace(figures, reference_run=comparable_run(options.reference_run, sha256))
        drawn = figures.draw(path, unit="nats per character")
        return drawn + draw_attention(path, tokenizer.encode(text), list(text), title=figures.title)


def encode(corpus: Corpus, tokenizer: CharacterTokenizer, context: int) -> tuple[ndarray, ndarray]:
    """The ids of the first nine tenths of the text, to train on, and of the last tenth, to validate on."""
    training, validation = corpus.split()
    if (length := len(validation)) <= context:
        needed = f"--context {context} needs at least {context + 1}"
        raise ValueError(f"the last tenth of {corpus.name} has {length} characters, {needed}")
    return tokenizer.encode(training), tokenizer.encode(validation)


def is_published(options: Options) -> bool:
    """Whether the run trains and is evaluated as the preset quick, whose results are known; the seed may differ."""
    presented = "save_every", "evaluate_every", "sample", "temperature", "top_k", "attention_text", "figures"
    return is_as(options, PRESETS["quick"], *presented)


def known_targets(options: Options, corpus: Corpus) -> tuple[float | None, dict[str, float]]:
    """The loss that a run should reach on a text, and what others reached there."""
    if not is_published(options):
        return None, {}
    if corpus.name == "pydoc":
        return 1.62, {}
    if corpus.sha256 == TINY_SHAKESPEARE:
        return 1.90, {"nanoGPT": 1.88}
    return None, {}


if __name__ == "__main__":
    run_experiment(CharacterModel)
