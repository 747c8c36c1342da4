"""What do the heads of a trained model attend to?

Every head of a run of char_lm.py is measured. Take its weights P[i, j], how much character i attends to character j,
on windows of text that the run did not learn from. Means are over the rows from i = 1 on (row 0 has no choice) and
over the windows:

- entropy: of the row, in nats; 0 where all goes to one character, ln(i + 1) where attention is uniform.
- previous token: P[i, i - 1]; self: P[i, i]; first token: P[i, 0], each from 0 to 1.
- induction: the sum of P[i, j] over all j whose predecessor is the same character as i, from 0 to 1. It is measured on
  random sequences of the vocabulary whose second half repeats the first, and only rows whose character occurred
  before count (Olsson et al., "In-context Learning and Induction Heads", 2022).
- distance of two heads: the Jensen-Shannon divergence of their rows, in nats, 0 where they attend alike, ln 2 where
  never to the same character (Clark et al., "What Does BERT Look At?", 2019).

Beside each stands what uniform causal attention, P[i, j] = 1 / (i + 1), gets on the same windows. Layers and heads
count from 1. The results are heads.csv, distances.csv, findings.json, and maps of both tables (attention_heads and
distances, as PNG and SVG). Focus, in the map, is 1 - entropy / uniform attention's entropy.

Expected: in the runs of char_lm.py with its preset `quick` the strongest head gives at least a quarter of its attention
to the previous token (36 % with seed 0), where uniform attention gives 6 %, and no head does induction: none reaches
twice what uniform attention gets there. The preset `quick` takes a few seconds, `paper` is the same; `smoke` needs no
run and measures a tiny model that is not trained: all its heads are near uniform.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from numpy import ndarray

from scratchformer.analysis.attention_patterns import measure_heads, repeated_sequences
from scratchformer.models import GPT, GPTConfig, Llama
from scratchformer.plots import matrix_panels, save_figure
from scratchformer.plots.matrices import ALL_PANELS, LARGEST_CELL
from scratchformer.recipes.options import is_as
from scratchformer.runs import (
    About,
    Result,
    RunFolder,
    begin_run,
    check_option,
    conclude,
    load_run,
    one_sentence_errors,
    options_of,
    parse,
    read_json,
    read_run,
    read_table,
    run_script,
)
from scratchformer.text import CharacterTokenizer, Corpus, fixed_batches, pydoc_corpus, read_corpus

PROG = "attention_heads.py"
ABOUT = About(
    script=__file__,
    description=__doc__,
    source="Clark et al., What Does BERT Look At?, 2019; Olsson et al., In-context Learning and Induction Heads, 2022",
    published="heads of the previous token in every model; induction needs two layers and text that repeats",
    picture="attention_heads.png",
)
PATTERNS = ("previous token", "self", "first token", "induction")
MEASURES = (*PATTERNS, "entropy")
COLUMNS = ("layer", "head", "measure", "value", "uniform")
Places = list[tuple[int, int]]

SHORTEST = 4
"""Characters of a window: below, there is nothing to repeat."""
TEXT_HEIGHT, CHARACTERS_PER_INCH = 0.14, 8
"""Of the figures' ticks, in inches, and of their titles."""


@dataclass(frozen=True)
class Config:
    """Options of the measurement."""

    run: Annotated[Path | None, tyro.conf.Positional] = None
    """Run folder of char_lm.py, whose best model is measured; preset smoke does without and makes a tiny one."""
    preset: Literal["quick", "paper", "smoke"] = "quick"
    """Where the other options start from: what is steady to about a hundredth, the same, or a try without a run."""
    text: Path | None = None
    """UTF-8 text to measure on, its last tenth alone if the run learned from it; without one, the run's own text."""
    out: Path | None = None
    """Folder for the results, new or empty; without one, the next free runs/attention_heads-NNN."""
    plot_only: Path | None = None
    """Folder of earlier results whose figures are drawn anew; no other option counts."""
    windows: int = 200
    """Windows of the text, of as many characters as the model's context, spread evenly; fewer if it has no more."""
    sequences: int = 200
    """Random repeated sequences that induction is measured on, as long as the windows."""
    seed: int = 0
    """Seed of the random sequences, and of the model that preset smoke makes."""

    def check(self) -> None:
        """Raises ValueError, naming the option, for the first value out of range."""
        for name in ("windows", "sequences"):
            check_option(name, getattr(self, name), at_least=1)
        check_option("seed", self.seed, at_least=0)
        if self.run is None and self.preset != "smoke":
            raise ValueError("name the run folder to look into, as in `attention_heads.py runs/char_lm-001`")


PRESETS = {
    "quick": Config(),
    "paper": Config(preset="paper"),
    "smoke": Config(preset="smoke", windows=8, sequences=8),
}


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        config = parse(PRESETS, prog=PROG, description=__doc__, arguments=arguments)
        if config.plot_only is not None:
            print("figures:", *draw(config.plot_only))
            return
        config.check()
        model, tokenizer, text = untrained(config) if config.run is None else trained(config.run, config.text)
        context, ids = model.context_length, tokenizer.encode(text.text)
        if context < SHORTEST:
            raise ValueError(f"{config.run} has a context of {context} characters, patterns need at least {SHORTEST}")
        if len(ids) <= context:
            raise ValueError(f"{text.name} has {len(ids)} characters, windows of {context} need at least {context + 1}")
        windows = np.concatenate([batch.ids for batch in fixed_batches(ids, 1, context, config.windows)])
        kind = type(model).__name__ if config.run else f"{type(model).__name__} that is not trained"
        title = f"The heads of a {kind} on {text.name}"
        about = {"title": title, "model": asdict(model.config), "text": {"characters": len(ids), "sha256": text.sha256}}
        folder = begin_run(config, ABOUT.name, {"options": options_of(config)}, about)

    print(f"{title}: {len(windows)} windows of {context} characters; results in {folder.path}", flush=True)
    start = perf_counter()
    generator = np.random.default_rng(config.seed)
    vocabulary_size, length = model.config.vocabulary_size, context // 2 * 2
    sequences = repeated_sequences(vocabulary_size, length, config.sequences, generator=generator)
    scores, distances = measure_heads(model, windows, sequences)
    seconds = perf_counter() - start
    of_heads = places(model.config.num_layers, model.config.num_heads)
    write_tables(folder, of_heads, scores, distances)
    found = summarize(of_heads, scores, distances)
    folder.write_json("findings", {"windows": len(windows), "context": context} | found)
    for name, strongest in found["strongest"].items():
        place = f"layer {strongest['layer']}, head {strongest['head']}"
        print(f"{name:>14}: {place} with {strongest['value']:.3f}, uniform {found['uniform'][name]:.3f}")
    with one_sentence_errors(PROG):
        conclude(folder, ABOUT, config, judge(config, found), seconds)
        print("figures:", *draw(folder.path))


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


def untrained(config: Config) -> tuple[GPT, CharacterTokenizer, Corpus]:
    """A tiny GPT as it is initialised, and a text."""
    corpus = pydoc_corpus() if config.text is None else read_corpus(config.text)
    tokenizer = CharacterTokenizer.from_text(corpus.text)
    sizes: dict[str, Any] = {"context_length": 32, "num_layers": 2, "num_heads": 4, "d_model": 32}
    model = GPT(GPTConfig(tokenizer.vocabulary_size, **sizes), generator=np.random.default_rng(config.seed))
    return model, tokenizer, held_out(corpus)


def held_out(corpus: Corpus) -> Corpus:
    """What char_lm.py keeps of a text to validate on: its last tenth."""
    return Corpus(f"the last tenth of {corpus.name}", corpus.split()[1])


def places(num_layers: int, num_heads: int) -> Places:
    """The layer and the head, from 1, of every head in their order."""
    return [(layer + 1, head + 1) for layer, head in np.ndindex(num_layers, num_heads)]


def write_tables(folder: RunFolder, of_heads: Places, scores: dict[str, ndarray], distances: ndarray) -> None:
    with folder.table("heads", *COLUMNS) as table:
        for i, (layer, head) in enumerate(of_heads):
            for name in MEASURES:
                table.add(layer, head, name, float(scores[name][i]), float(scores[name][-1]))
    names = [*(f"{layer}.{head}" for layer, head in of_heads), "uniform"]
    with folder.table("distances", "layer.head", *names) as table:
        for name, row in zip(names, distances.tolist(), strict=True):
            table.add(name, *row)


def summarize(of_heads: Places, scores: dict[str, ndarray], distances: ndarray) -> dict[str, Any]:
    """What was found: the strongest head of each pattern, the two most alike, and all scores; entropies in nats."""
    heads = [{"layer": layer, "head": head} for layer, head in of_heads]

    def at(name: str, i: int) -> dict[str, Any]:
        return heads[i] | {"value": float(scores[name][i])}

    first, second = np.triu_indices(len(heads), 1)
    apart = distances[first, second]
    nearest = [heads[pair[apart.argmin()]] for pair in (first, second)] if len(apart) else []
    return {
        "uniform": {name: float(scores[name][-1]) for name in MEASURES},
        "strongest": {name: at(name, int(scores[name][:-1].argmax())) for name in PATTERNS},
        "lowest_entropy": at("entropy", int(scores["entropy"][:-1].argmin())),
        "most_alike": {"heads": nearest, "distance": float(apart.min()) if len(apart) else None},
        "heads": [place | {name: float(scores[name][i]) for name in MEASURES} for i, place in enumerate(heads)],
    }


def judge(config: Config, found: dict[str, Any]) -> list[Result]:
    """The strongest heads of two patterns and uniform attention, with targets for runs that were judged themselves."""
    is_judged = config.run is not None and is_as(config, PRESETS["quick"]) and was_judged(config.run)
    previous, induction = (found["strongest"][name]["value"] for name in ("previous token", "induction"))
    uniform_previous, uniform_induction = (found["uniform"][name] for name in ("previous token", "induction"))
    return [
        Result("previous_token_score", previous, 0.25 if is_judged else None, "higher"),
        Result("uniform_previous_token_score", uniform_previous, None),
        Result("induction_score", induction, 2 * uniform_induction if is_judged else None),
        Result("uniform_induction_score", uniform_induction, None),
    ]


def was_judged(run: Path) -> bool:
    """Whether a target was stated for the run, as it is for the presets of char_lm.py."""
    return (run / "summary.json").exists() and read_json(run / "summary.json").get("passed") is not None


def draw(path: Path) -> list[Path]:
    """Draws the tables of a folder as attention_heads.png and distances.png, and as SVG beside them."""
    title = str(read_run(path, "title", experiment=ABOUT.name)["title"])
    return [draw_heads(path, title), draw_distances(path, title)]


def draw_heads(path: Path, title: str) -> Path:
    """The map of all heads by layer and head: their patterns, and their focus in the place of entropy."""
    scores, uniform = read_scores(path / "heads.csv")
    scores["focus"], uniform["focus"] = 1 - scores.pop("entropy") / uniform["entropy"], 0.0
    num_layers, num_heads = scores["focus"].shape
    texts = [f"{name}\n(uniform {uniform[name]:.2f})" for name in scores]
    if num_heads >= 3:
        panels = dict(zip(texts, scores.values(), strict=True))
        column_label, columns = "head", numbered(num_heads)
    else:  # panels that are narrower than the texts: one for each head instead of each measure
        by_head = np.stack(list(scores.values()), axis=-1)
        panels = {f"head {i + 1}": by_head[:, i] for i in range(num_heads)}
        column_label, columns = "", texts
    cell = cell_size(len(panels) * len(columns))
    figure = matrix_panels(
        panels,
        row_label="layer",
        column_label=column_label,
        value_label="score",
        row_names=thinned(numbered(num_layers), cell),
        column_names=thinned(columns, cell),
        decimals=2 if cell > 0.3 else 1 if cell > 0.18 else None,
        bar_from_zero=True,
        title=wrapped(title, len(panels) * len(columns) * cell),
    )
    return save_figure(figure, path / "attention_heads")


def draw_distances(path: Path, title: str) -> Path:
    """How unlike every two heads attend, and each and uniform attention."""
    table = read_table(path / "distances.csv")
    try:
        names = table["layer.head"]
        distances = np.array([table[name] for name in names], float)
        if not names:
            raise ValueError
    except (KeyError, ValueError):
        raise ValueError(f"{path / 'distances.csv'} does not hold the distances of heads") from None
    cell = cell_size(len(names))
    figure = matrix_panels(
        {"": distances},
        row_label="layer.head",
        column_label="layer.head",
        value_label="nats",
        row_names=thinned(names, cell),
        column_names=thinned(names, cell),
        decimals=2 if cell > 0.3 else None,
        bar_from_zero=True,
        title=wrapped(f"{title}: Jensen-Shannon divergences", len(names) * cell),
    )
    return save_figure(figure, path / "distances")


def read_scores(path: Path) -> tuple[dict[str, ndarray], dict[str, float]]:
    """Each measure's (layers, heads), and what uniform attention gets."""
    table = read_table(path)
    try:
        shape = int(table["layer"][-1]), int(table["head"][-1])
        if table["measure"] != [*MEASURES] * math.prod(shape):
            raise ValueError
        values = np.array(table["value"], float).reshape(*shape, len(MEASURES))
        uniform = dict(zip(MEASURES, map(float, table["uniform"]), strict=False))
    except (KeyError, IndexError, ValueError):
        raise ValueError(f"{path} does not hold the scores of heads") from None
    return dict(zip(MEASURES, np.moveaxis(values, -1, 0), strict=True)), uniform


def cell_size(num_columns: int) -> float:
    """The side of a cell of all panels together, in inches."""
    return min(LARGEST_CELL, ALL_PANELS / num_columns)


def numbered(count: int) -> list[str]:
    return [str(i) for i in range(1, count + 1)]


def thinned(names: Sequence[str], cell: float) -> list[str]:
    """The last name and, before it, every second, third, ... if cells are smaller than the height of a text."""
    every = math.ceil(TEXT_HEIGHT / cell)
    return [name if (len(names) - 1 - i) % every == 0 else "" for i, name in enumerate(names)]


def wrapped(title: str, width: float) -> str:
    """The title in lines that fit above panels of that width, in inches, and their colour bar."""
    return textwrap.fill(title, int(CHARACTERS_PER_INCH * (width + 1)), break_on_hyphens=False)


if __name__ == "__main__":
    run_script(main, PROG)
