"""A model that predicts the next character of a text: its options, its training, its sample and its figures."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy import ndarray

from scratchformer.generation import Sampling, generate
from scratchformer.models import GPT, Llama
from scratchformer.recipes.experiment import TrainingExperiment
from scratchformer.recipes.initial_weights import (
    InitialWeights,
    known_characters,
    read_initial_weights,
    recorded_initial_weights,
    stored_tokenizer,
)
from scratchformer.recipes.language_model import MODEL_OPTIONS, LanguageModelOptions, language_model_trainer
from scratchformer.recipes.options import Count, EvaluateEvery, EvaluationBatches, Natural, Positive, SaveEvery, Text
from scratchformer.recipes.text_runs import TextFigures, chosen_corpus
from scratchformer.runs.extending import check_ended, copy_run
from scratchformer.runs.figures import ReferenceRun, comparable_run, draw_attention
from scratchformer.runs.folder import RunFolder, read_config, read_run, write_config
from scratchformer.runs.summary import Result
from scratchformer.runs.terminal import tell
from scratchformer.runs.training_run import Recorder, Training
from scratchformer.text import (
    CharacterTokenizer,
    Corpus,
    ShuffledBatches,
    TokenBatch,
    fixed_batches,
    ngram_entropy,
)
from scratchformer.text.corpora import shown_name
from scratchformer.training import LAST

NGRAMS = {1: "unigrams", 2: "bigrams", 3: "trigrams"}


@dataclass(frozen=True)
class CharacterModelOptions(LanguageModelOptions):
    """The options of the run."""

    preset: Literal["quick", "nanogpt", "paper", "smoke"] = "quick"  # type: ignore[assignment]  # one preset more
    """Sets the other options: quick to our best recipe, nanogpt to that of nanoGPT's CPU example, paper as quick, smoke
    to seconds."""
    extend: Count | None = None
    """Trains a run that has ended, which --resume names, up to this step, in a new folder and with a new schedule."""
    init_from: Path | None = None
    """Run folder whose best weights, sizes and tokenizer the model starts with; all else is that of a new run."""
    drop_unknown: bool = False
    """Whether characters of the text that the run of --init-from did not know are left out."""

    plot_only: Path | None = None
    """Run folder whose figures are drawn anew; of the other options only --attention-text and --reference-run count."""
    text: Text = None
    short_steps: Natural = 0
    """Steps at the beginning that learn from the first characters of their windows alone, which takes less time."""
    short_context: Count = 64
    """How many characters those are."""
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
        if self.extend is not None and self.resume is None:
            raise ValueError(f"--extend {self.extend} needs --resume FOLDER, the run that is to be extended")
        if self.extend is not None and self.extend < self.steps:
            raise ValueError(f"--extend {self.extend} must be more than the {self.steps} steps of the run")
        if self.drop_unknown and self.init_from is None:
            raise ValueError("--drop-unknown needs --init-from FOLDER, the run whose characters are known")


NANOGPT = CharacterModelOptions(
    preset="nanogpt",
    model="gpt",
    qk_norm=False,
    context=64,
    steps=2000,
    batch=12,
    optimizer="adamw",
    learning_rate=1e-3,
    final_learning_rate=1e-4,
)
PRESETS = {
    "quick": CharacterModelOptions(),
    "nanogpt": NANOGPT,
    "paper": CharacterModelOptions(preset="paper"),
    "smoke": CharacterModelOptions(
        preset="smoke",
        layers=2,
        width=64,
        context=64,
        steps=300,
        warmup=30,
        evaluate_every=100,
        evaluation_batches=40,
    ),
}


class CharacterModel(TrainingExperiment[CharacterModelOptions, GPT | Llama, TokenBatch]):
    """A GPT or a Llama that predicts the next character of a text.

    A subclass sets `about`, and may know what others reached on a text.
    """

    presets, inherited = PRESETS, MODEL_OPTIONS
    pictures: ClassVar = ("loss", "norms", "attention")

    def __init__(self, options: CharacterModelOptions) -> None:
        self.is_extension = options.extend is not None and options.extend != options.steps
        options = replace(options, steps=options.extend or options.steps)
        super().__init__(options)
        initial = initial_weights(options)
        corpus = chosen_corpus(options.text)
        self.introduction = f"{corpus.name}: {len(corpus.text):,} characters, "
        if initial is None:
            self.tokenizer = CharacterTokenizer.from_text(corpus.text)
        else:
            self.tokenizer = initial.tokenizer
            corpus, dropped = known_characters(corpus, self.tokenizer, drop=options.drop_unknown)
            self.introduction += f"{dropped:,} of them unknown and dropped, " if dropped else ""
            self.depends_on["initial_weights"] = {"sha256": initial.sha256}
        self.introduction += f"{self.tokenizer.vocabulary_size} distinct"
        self.corpus = corpus
        training, validation = encode(corpus, self.tokenizer, options.context)
        self.shuffled = ShuffledBatches(training, options.batch, options.context, seed=options.seed)
        held_out = fixed_batches(validation, options.batch, options.context, options.evaluation_batches)
        weights = None if initial is None else initial.values
        trainer = language_model_trainer(options, self.tokenizer.vocabulary_size, weights)
        self.training = Training(trainer, self.batches, held_out)
        self.depends_on["corpus"] = {"characters": len(corpus.text), "sha256": corpus.sha256}
        self.depends_on["tokenizer"] = asdict(self.tokenizer)
        if options.extend is not None:
            self.depends_on["extended_after"] = self.earlier_ends()
        self.notes |= asdict(self.figures(training, validation))
        self.notes["attention_text"] = options.attention_text or self.tokenizer.decode(
            validation[: min(16, options.context)]
        )
        self.tokenizer.encode(options.attention_text)  # raises now, not after the training, where it cannot be shown

    def batches(self, step: int) -> list[TokenBatch]:
        n = self.options.accumulate
        length = self.options.short_context if step < self.options.short_steps else None
        return [self.shuffled(step * n + i, length) for i in range(n)]

    def earlier_ends(self) -> list[int]:
        """The steps at which the run ended before it was extended."""
        assert self.options.resume is not None
        earlier = read_config(self.options.resume, self.about.name, CharacterModelOptions)
        ends = read_run(self.options.resume).get("extended_after", [])
        if self.is_extension:
            return [*ends, earlier.steps]
        if earlier.extend is None:
            raise ValueError(f"--extend {self.options.extend} must be more than the {earlier.steps} steps of the run")
        return list(ends)

    def make_folder(self) -> RunFolder:
        if not self.is_extension:
            return super().make_folder()
        path = self.options.resume
        assert path is not None
        earlier = type(self)(replace(read_config(path, self.about.name, CharacterModelOptions), resume=path))
        schedule = self.training.trainer.schedule
        with Recorder(earlier.training, RunFolder.open(path), earlier.depends_on) as recorder:
            check_ended(recorder, earlier.options.steps)
            folder = RunFolder(self.options.out, self.about.name)
            copy_run(recorder, folder.path, schedule, self.depends_on)
        write_config(folder, self.options, self.about.name, self.depends_on, self.notes)
        done, steps = earlier.options.steps, self.options.steps
        self.introduction += (
            f"\n{path} is extended from {done} to {steps} steps: the learning rate is from now on that of a run of "
            f"{steps} steps, which after {done} is {schedule(done):.2g}"
        )
        return folder

    def figures(self, training: ndarray, validation: ndarray) -> TextFigures:
        """What the losses are compared with: counting n-grams, what others reached, and another run."""
        size = self.tokenizer.vocabulary_size
        orders = [order for order in NGRAMS if len(validation) >= order]
        levels = {NGRAMS[order]: ngram_entropy(training, validation, size, order) for order in orders}
        _, published = self.known_targets()
        reference = self.reference()
        if self.options.reference_run is not None:
            reference = comparable_run(self.options.reference_run, self.corpus.sha256)
        title = f"A character model of {self.corpus.name}"
        if self.options.init_from is not None:
            title += f", which starts from {shown_name(self.options.init_from)}"
        return TextFigures(title, levels | published, reference)

    def known_targets(self) -> tuple[float | None, dict[str, float]]:
        """The loss that the run should reach, and what others reached on its text, by name."""
        return None, {}

    def reference(self) -> ReferenceRun | None:
        """A run of the same options and text, which figures show in grey."""
        return None

    def judge(self, folder: RunFolder) -> list[Result]:
        """The last validation loss."""
        tell(f"\nA sample at temperature {self.options.temperature:g}:")
        pieces = []
        with self.evaluated():
            for piece in stripped(self.sample()):
                print(piece, end="", flush=True)
                pieces.append(piece)
        print("\n")
        folder.write_text("sample.txt", "".join(pieces))
        target, _ = self.known_targets()
        return [Result("validation_loss_nats", self.validation_loss, target)]

    def sample(self) -> Iterator[str]:
        """The characters that the model writes after a line break, or the first character where there is none."""
        options, tokenizer = self.options, self.tokenizer
        choose = Sampling(np.random.default_rng(options.seed), options.temperature, options.top_k)
        prompt = tokenizer.encode(tokenizer.first_prompt)
        model = self.model
        ids = generate(model, prompt, options.sample, context_length=options.context, choose=choose)
        return (tokenizer.decode(token[None]) for token in ids)

    @classmethod
    def draw(cls, path: Path) -> list[Path]:
        return cls.draw_for(PRESETS["quick"], path)

    @classmethod
    def draw_for(cls, options: CharacterModelOptions, path: Path) -> list[Path]:
        """Draws with the attention text and the reference run of these options, or else with those of the run."""
        if not options.figures and options.plot_only is None:
            return []
        figures = TextFigures.read(path, cls.about.name)
        run = read_run(path, "corpus", "tokenizer", "attention_text")
        try:
            text, tokenizer = str(options.attention_text or run["attention_text"]), stored_tokenizer(run)
            sha256 = run["corpus"]["sha256"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path / 'config.json'} is damaged: {error}") from None
        if options.reference_run is not None:
            figures = replace(figures, reference_run=comparable_run(options.reference_run, sha256))
        drawn = figures.draw(path, unit="nats per character")
        return drawn + draw_attention(path, tokenizer.encode(text), list(text), title=figures.title)


def stripped(pieces: Iterable[str]) -> Iterator[str]:
    """The characters of a text without the line breaks at its beginning and its end, as they come."""
    breaks = 0
    has_begun = False
    for piece in pieces:
        if piece == "\n":
            breaks += 1
        else:
            yield "\n" * breaks * has_begun + piece
            breaks, has_begun = 0, True


def encode(corpus: Corpus, tokenizer: CharacterTokenizer, context: int) -> tuple[ndarray, ndarray]:
    """The ids of the first nine tenths of the text, to train on, and of the last tenth, to validate on."""
    training, validation = corpus.split()
    if (length := len(validation)) <= context:
        needed = f"--context {context} needs at least {context + 1}"
        raise ValueError(f"the last tenth of {corpus.name} has {length} characters, {needed}")
    return tokenizer.encode(training), tokenizer.encode(validation)


def initial_weights(options: CharacterModelOptions) -> InitialWeights | None:
    """The weights that a run starts from; None for random ones.

    A run that is resumed from a checkpoint does without the run that it started from.
    """
    if options.resume is not None and (options.resume / LAST).exists():
        is_started_from = "initial_weights" in read_run(options.resume)
        return recorded_initial_weights(options.resume) if is_started_from else None
    return None if options.init_from is None else read_initial_weights(options.init_from)
