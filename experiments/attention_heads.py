"""What do the heads of a trained model attend to?

Every head of a run of char_lm.py is measured by its weights P[i, j], how much character i attends to character j, on
windows of text that the run did not learn from. Means are over the rows from i = 1 on (row 0 has no choice) and over
the windows:

- The entropy of the row, in nats: 0 where all goes to one character, ln(i + 1) where attention is uniform.
- Three patterns, each from 0 to 1: previous token, P[i, i - 1]; self, P[i, i]; and first token, P[i, 0].
- Induction: the sum of P[i, j] over all j whose predecessor is the same character as i, from 0 to 1. It is measured on
  random sequences of the vocabulary whose second half repeats the first. Only rows whose character occurred before
  count (Olsson et al., "In-context Learning and Induction Heads", 2022).
- The distance of two heads: the Jensen-Shannon divergence of their rows, in nats. It is 0 where they attend alike, and
  ln 2 where they never attend to the same character (Clark et al., "What Does BERT Look At?", 2019).

Beside each stands what uniform causal attention, P[i, j] = 1 / (i + 1), gets on the same windows. Layers and heads
count from 1. The results are heads.csv, distances.csv, findings.json, and maps of both tables (attention_heads and
distances, as PNG and SVG). Focus, in the map, is 1 - entropy / uniform attention's entropy.

Expected: in the runs of char_lm.py with its preset `quick` the strongest head gives at least a quarter of its attention
to the previous token (45 % with seed 0), where uniform attention gives 3 %. No head does induction: none reaches twice
what uniform attention gets there. The preset `quick` takes a few seconds, and `paper` is the same. `smoke` needs no
run: it measures a tiny model that is not trained, all of whose heads are near uniform.
"""

import scratchformer.program  # noqa: F401  Ctrl-C ends the imports without a traceback

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from scratchformer.analysis.attention_patterns import measure_heads, repeated_sequences
from scratchformer.models import GPT, GPTConfig, Llama
from scratchformer.recipes.experiment import Experiment, run_experiment
from scratchformer.recipes.head_maps import (
    MEASURES,
    PATTERNS,
    Distances,
    Scores,
    draw_distances,
    draw_heads,
    write_tables,
)
from scratchformer.recipes.options import Count, MeasuringOptions, Natural
from scratchformer.runs import About, Result, RunFolder, load_run, read_json, read_run
from scratchformer.text import CharacterTokenizer, Corpus, fixed_batches, pydoc_corpus, read_corpus

ABOUT = About(
    script=__file__,
    description=__doc__,
    source="Clark et al., What Does BERT Look At?, 2019; Olsson et al., In-context Learning and Induction Heads, 2022",
    published="heads of the previous token in every model; induction needs two layers and text that repeats",
    picture="attention_heads.png",
)
SHORTEST = 4
"""Characters of a window: a shorter one has nothing to repeat."""


@dataclass(frozen=True)
class Options(MeasuringOptions):
    """The options of the measurement."""

    seed: Natural = 0
    """Seed of the random sequences, and of the model that preset smoke makes."""
    run: Annotated[Path | None, tyro.conf.Positional] = None
    """Run folder of char_lm.py, whose best model is measured; preset smoke does without and makes a tiny one."""
    text: Path | None = None
    """UTF-8 text to measure on, its last tenth alone if the run learned from it; without one, the run's own text."""
    windows: Count = 200
    """Windows of the text, of as many characters as the model's context, spread evenly; fewer if it has no more."""
    sequences: Count = 200
    """Random repeated sequences that induction is measured on, as long as the windows."""

    def check(self) -> None:
        super().check()
        if self.run is None and self.preset != "smoke":
            raise ValueError("name the run folder to look into, as in `attention_heads.py runs/char_lm-001`")


PRESETS = {
    "quick": Options(),
    "paper": Options(preset="paper"),
    "smoke": Options(preset="smoke", windows=8, sequences=8),
}


class AttentionHeads(Experiment[Options]):
    """The heads of one model, on windows of one text."""

    about, presets = ABOUT, PRESETS

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        run = options.run
        self.model, tokenizer, text = untrained(options) if run is None else trained(run, options.text)
        self.context, ids = self.model.context_length, tokenizer.encode(text.text)
        if self.context < SHORTEST:
            raise ValueError(f"{run} has a context of {self.context} characters, patterns need at least {SHORTEST}")
        if len(ids) <= self.context:
            few, needed = f"{text.name} has {len(ids)} characters", self.context + 1
            raise ValueError(f"{few}, windows of {self.context} need at least {needed}")
        self.windows = np.concatenate([batch.ids for batch in fixed_batches(ids, 1, self.context, options.windows)])
        kind = type(self.model).__name__ if run else f"{type(self.model).__name__} that is not trained"
        self.title = f"The heads of a {kind} on {text.name}"
        self.heads = [(i + 1, j + 1) for i, j in np.ndindex(self.model.config.num_layers, self.model.config.num_heads)]
        self.notes = {
            "title": self.title,
            "model": asdict(self.model.config),
            "text": {"characters": len(ids), "sha256": text.sha256},
        }

    def carry_out(self, folder: RunFolder) -> None:
        size = f"{len(self.windows)} windows of {self.context} characters"
        print(f"{self.title}: {size}; results in {folder.path}", flush=True)
        generator = np.random.default_rng(self.options.seed)
        vocabulary_size, length = self.model.config.vocabulary_size, self.context // 2 * 2
        sequences = repeated_sequences(vocabulary_size, length, self.options.sequences, generator=generator)
        self.scores, self.distances = measure_heads(self.model, self.windows, sequences)

    def judge(self, folder: RunFolder) -> list[Result]:
        write_tables(folder, self.heads, self.scores, self.distances)
        found = summarize(self.heads, self.scores, self.distances)
        folder.write_json("findings", {"windows": len(self.windows), "context": self.context} | found)
        for name, strongest in found["strongest"].items():
            place = f"layer {strongest['layer']}, head {strongest['head']}"
            print(f"{name:>14}: {place} with {strongest['value']:.3f}, uniform {found['uniform'][name]:.3f}")
        return self.compare(self.scores)

    def compare(self, scores: Scores) -> list[Result]:
        """The strongest heads of two patterns and uniform attention, with targets for runs that had targets."""
        run = self.options.run
        is_judged = run is not None and self.is_preset("quick") and had_target(run)
        (*previous, uniform_previous), (*induction, uniform_induction) = (
            scores[name].tolist() for name in ("previous token", "induction")
        )
        return [
            Result("previous_token_score", max(previous), 0.25 if is_judged else None, "higher"),
            Result("uniform_previous_token_score", uniform_previous, None),
            Result("induction_score", max(induction), 2 * uniform_induction if is_judged else None),
            Result("uniform_induction_score", uniform_induction, None),
        ]

    @classmethod
    def draw(cls, path: Path) -> list[Path]:
        title = str(read_run(path, "title", experiment=ABOUT.name)["title"])
        return [draw_heads(path, title), draw_distances(path, title)]


def trained(path: Path, text: Path | None) -> tuple[GPT | Llama, CharacterTokenizer, Corpus]:
    """The model of a run, and a text that it did not learn from."""
    run = read_run(path, "options", "places", "corpus", "tokenizer", experiment="char_lm")
    model = load_run(path)
    if not isinstance(model, GPT | Llama):
        raise ValueError(f"{path} is not a run of char_lm.py")
    try:
        tokenizer, sha256 = CharacterTokenizer(**run["tokenizer"]), run["corpus"]["sha256"]
        learned_from = None if run["places"]["text"] is None else Path(run["places"]["text"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path / 'config.json'} is damaged: {error}") from None
    if text is not None:
        corpus = read_corpus(text)
        return model, tokenizer, held_out(corpus) if corpus.sha256 == sha256 else corpus
    try:
        corpus = pydoc_corpus() if learned_from is None else read_corpus(learned_from)
    except ValueError as error:
        raise ValueError(f"{error}; choose a text with --text") from None
    if corpus.sha256 != sha256:
        raise ValueError(f"{corpus.name} is no longer the text that {path} learned from; choose one with --text")
    return model, tokenizer, held_out(corpus)


def untrained(options: Options) -> tuple[GPT, CharacterTokenizer, Corpus]:
    """A tiny GPT as it is initialised, and a text."""
    corpus = pydoc_corpus() if options.text is None else read_corpus(options.text)
    tokenizer = CharacterTokenizer.from_text(corpus.text)
    config = GPTConfig(tokenizer.vocabulary_size, context_length=32, num_layers=2, num_heads=4, d_model=32)
    return GPT(config, generator=np.random.default_rng(options.seed)), tokenizer, held_out(corpus)


def held_out(corpus: Corpus) -> Corpus:
    """The part of a text that char_lm.py validates on: its last tenth."""
    return Corpus(f"the last tenth of {corpus.name}", corpus.split()[1])


def had_target(run: Path) -> bool:
    """Whether the run itself had a target, as the presets of char_lm.py have."""
    return (run / "summary.json").exists() and read_json(run / "summary.json").get("passed") is not None


def summarize(heads: Sequence[tuple[int, int]], scores: Scores, distances: Distances) -> dict[str, Any]:
    """The findings for JSON: the strongest head of each pattern, the two most alike, and all scores; nats."""
    places = [{"layer": layer, "head": head} for layer, head in heads]

    def at(name: str, i: int) -> dict[str, float]:
        return places[i] | {"value": float(scores[name][i])}

    first, second = np.triu_indices(len(heads), 1)
    of_pairs = distances[first, second]
    nearest = [places[pair[of_pairs.argmin()]] for pair in (first, second)] if len(of_pairs) else []
    return {
        "uniform": {name: float(scores[name][-1]) for name in MEASURES},
        "strongest": {name: at(name, int(scores[name][:-1].argmax())) for name in PATTERNS},
        "lowest_entropy": at("entropy", int(scores["entropy"][:-1].argmin())),
        "most_alike": {"heads": nearest, "distance": float(of_pairs.min()) if len(of_pairs) else None},
        "heads": [place | {name: float(scores[name][i]) for name in MEASURES} for i, place in enumerate(places)],
    }


if __name__ == "__main__":
    run_experiment(AttentionHeads)
