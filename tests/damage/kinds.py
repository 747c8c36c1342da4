"""Every kind of file that the project reads: an undamaged one, its reader, and what the reader may accept."""

import csv
import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import scaling
from scratchformer.analysis.alignment import Alignment
from scratchformer.derivations.reader import pages, site
from scratchformer.layers import Layer
from scratchformer.recipes import head_maps, lesson
from scratchformer.recipes.alignment import read_alignment, write_alignment
from scratchformer.recipes.encoder_decoder import PairOptions
from scratchformer.recipes.text_runs import TextFigures
from scratchformer.runs import (
    About,
    Result,
    RunFolder,
    Table,
    begin_run,
    conclude,
    load_run,
    options_of,
    parse,
    places_of,
    read_config,
    read_measures,
    read_metrics,
    read_summary,
    reference_run,
    results_of,
)
from scratchformer.runs.files import METRICS, read_norms
from scratchformer.text import read_corpus
from scratchformer.training import BEST, LAST, load, save, training_checkpoint
from scratchformer.training.checkpoint import read_checkpoint
from scratchformer.training.descriptions import describe_model
from scratchformer.training.resuming import restore
from tests.damage.damaging import BYTES, SEALED, Damage, json_damage, parts_of
from tests.runs.setting import RUN, recorder, train_into, trainer
from tests.training.setting import tiny_gpt

STRUCTURED = BYTES | {"JSON": json_damage, "JSON again": json_damage, "JSON once more": json_damage}
CHECKPOINT = BYTES | SEALED | {f"{name} again": damage for name, damage in SEALED.items()}
ABOUT = About("test.py", "How?\n\nMore.", "Someone, 2020", "1.0", "loss.png")


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        path: of an undamaged file.
        read: reads it as the project does.
        is_whole: whether training can have written what was read from the damaged bytes, beside the original content.
        damages: by name.
    """

    path: Path
    read: Callable[[], Any]
    is_whole: Callable[[Any, bytes], bool]
    damages: Mapping[str, Damage]


def never(found: Any, data: bytes) -> bool:
    return False


def kinds_in(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Kind]:
    """Makes a folder with a file of each kind."""
    return {**_checkpoints(folder), **_tables(folder), **_json(folder, patch), **_texts(folder, patch)}


def _checkpoints(folder: Path) -> dict[str, Kind]:
    run = folder / "run"
    started = begin_run(PairOptions(out=run), "test", RUN)
    train_into(started, trainer())
    started.close()
    alone, other, own = folder / "model.safetensors", folder / "other.safetensors", trainer(seed=5)
    save(alone, tiny_gpt(positions="relative", tied_head=False))
    shutil.copyfile(run / LAST, other)
    state, averages = own.model.values.copy(), own.average.values.copy()

    def resumed() -> Any:
        again = RunFolder.open(run)
        try:
            with recorder(trainer(seed=9), again) as found:
                return _state(found.training.trainer)
        finally:
            again.close()

    def restored() -> Any:
        own.model.values[...], own.average.values[...] = state, averages
        try:
            restore(own, read_checkpoint(other))
        except ValueError as error:
            assert np.array_equal(own.model.values, state)  # nothing is changed where it is refused
            raise ValueError(f"{other}: {error}") from None
        return _state(own)

    def model_of(path: Path, reader: Callable[[Path], Layer] = load) -> Callable[[], Any]:
        def read() -> Any:
            model = reader(path)
            return {"described": describe_model(model), "values": model.values.tobytes()}

        return read

    def is_described(found: Any, data: bytes) -> bool:
        """What was loaded is what the file says, and its numbers are finite."""
        said = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["scratchformer"])
        values = np.frombuffer(found["values"], found["described"]["dtype"])
        return _same(said["description"]["model"], found["described"]) and bool(np.isfinite(values).all())

    pristine = restored()

    def is_at_its_step(found: Any, data: bytes) -> bool:
        """All but the number of steps, which a trainer alone cannot know, is as it was."""
        number = json.loads(parts_of(data)[0]["__metadata__"]["scratchformer"])["description"]["num_steps"]
        described = pristine["described"] | {"num_steps": number}
        return _same(found["described"], described) and found["tensors"] == pristine["tensors"]

    return {
        "model": Kind(alone, model_of(alone), is_described, CHECKPOINT),
        "model of a checkpoint": Kind(other, model_of(other), is_described, CHECKPOINT),
        "best of a run": Kind(run / BEST, model_of(run, load_run), is_described, CHECKPOINT),
        "state of a trainer": Kind(other, restored, is_at_its_step, CHECKPOINT),
        "last of a run": Kind(run / LAST, resumed, never, CHECKPOINT),
        "best of a resumed run": Kind(run / BEST, resumed, never, CHECKPOINT),
        "metrics of a resumed run": Kind(run / "metrics.csv", resumed, never, BYTES),
        "norms of a resumed run": Kind(run / "norms.csv", resumed, never, BYTES),
    }


def _state(trained: Any) -> Any:
    checkpoint = training_checkpoint(trained)
    described = json.loads(json.dumps(checkpoint.description))
    return {"described": described, "tensors": {name: part.tobytes() for name, part in checkpoint.tensors.items()}}


def _same(a: object, b: object) -> bool:
    """Equal as JSON, where True is not 1."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def _tables(folder: Path) -> dict[str, Kind]:
    run, place = folder / "run", folder / "place"
    (place / "reference").mkdir(parents=True)
    shutil.copyfile(run / "measures.csv", place / "measures.csv")
    with Table(place / "reference" / "sort.csv", ("step", "measure", "value")) as table:
        for step in range(1, 30, 4):
            table.add(step, "validation_loss", 3.5 / step)
    shares = np.random.default_rng(0).random((2, 3))
    opened = RunFolder(folder / "heads", "test")
    write_alignment(opened, Alignment({"source": shares, "next": shares / 2}, {"source": 0.25, "next": 0.5}))
    heads = [(layer, head) for layer in (1, 2) for head in (1, 2, 3)]
    scores = {name: np.random.default_rng(1).random(7) for name in head_maps.MEASURES}
    head_maps.write_tables(opened, heads, scores, np.random.default_rng(2).random((7, 7)))
    with opened.table("measurements", *scaling.COLUMNS) as table:
        for i in range(2):
            for d_k in (1, 2, 4):
                for scale in scaling.SCALES:
                    table.add(i, d_k, scale, *[0.5 * d_k] * len(scaling.QUANTITIES))
    opened.close()

    def as_written(columns: tuple[str, ...]) -> Callable[[Any, bytes], bool]:
        """The accepted rows are, as numbers, those of the file but for a last row that was cut off."""

        def is_whole(found: Any, data: bytes) -> bool:
            text = data.decode("utf-8-sig")
            header, *rows = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
            again = io.StringIO(newline="")
            writer = csv.writer(again, lineterminator="\n")
            writer.writerows([header, *([_number(cell) for cell in row] for row in rows)])
            steps = [int(row[0]) for row in rows] if header[0] == "step" else [0]
            is_plain = again.getvalue() == text[: text.rfind("\n") + 1] and min(steps, default=0) >= 0
            return is_plain and sorted(header) == sorted(columns) and "\0" not in text

        return is_whole

    norms = ("step", "quantity", "layer", "norm")
    measures = ("step", "measure", "value")
    table_of_heads = folder / "heads"
    return {
        "metrics": Kind(run / "metrics.csv", lambda: read_metrics(run / "metrics.csv"), as_written(METRICS), BYTES),
        "norms": Kind(run / "norms.csv", lambda: read_norms(run / "norms.csv"), as_written(norms), BYTES),
        "measures": Kind(
            place / "measures.csv", lambda: read_measures(place / "measures.csv"), as_written(measures), BYTES
        ),
        "reference": Kind(
            place / "reference" / "sort.csv",
            lambda: reference_run(str(place / "sort.py"), "paper"),
            as_written(measures),
            BYTES,
        ),
        "alignment": Kind(
            table_of_heads / "attention.csv",
            lambda: read_alignment(table_of_heads).shares,
            as_written(("sought", "layer", "head", "share", "uniform")),
            BYTES,
        ),
        "heads": Kind(
            table_of_heads / "heads.csv",
            lambda: head_maps.read_scores(table_of_heads / "heads.csv"),
            as_written(head_maps.COLUMNS),
            BYTES,
        ),
        "measurements": Kind(
            table_of_heads / "measurements.csv",
            lambda: scaling.read_measurements(table_of_heads),
            as_written(scaling.COLUMNS),
            BYTES,
        ),
    }


def _number(cell: str) -> str:
    """A cell as it is written; a number with its digits."""
    for kind in (int, float):
        try:
            value = kind(cell)
        except ValueError:
            continue
        return cell if cell.isascii() and cell.strip(" _+\t\r\n") == cell and "_" not in cell else repr(value)
    return cell


def _json(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Kind]:
    begun = begin_run(PairOptions(out=folder / "pairs"), "pairs", {"options": options_of(PairOptions())})
    config = begun.read_json("config")
    notes = {"title": "a run", "references": {"bigrams": 2.5}}
    notes["reference_run"] = {"name": "earlier", "steps": [1, 5], "losses": [3.5, 2.0]}
    begun.write_json("config", config | notes)
    results = [Result("loss", 1.5, 2.0), Result("share", 0.5, None, "higher"), Result("lost", np.nan, 1.0)]
    conclude(begun, ABOUT, PairOptions(), results, 12.5)
    weights = np.tril(np.full((1, 2, 3, 3), 0.25)).tolist()
    stored = {
        "maps": {"function": "attention_maps", "arguments": {"weights": weights, "query_tokens": ["a", "b", "c"]}}
    }
    begun.write_text("figures.json", json.dumps(stored) + "\n")
    begun.close()
    pairs = folder / "pairs"

    def opened() -> Any:
        RunFolder.open(pairs).close()
        config = parse({"default": PairOptions()}, prog="test", description="", arguments=["--resume", str(pairs)])
        read = read_config(pairs, "pairs", PairOptions)
        config.check()
        return {"options": options_of(read), "places": places_of(read) | {"resume": None}}

    def is_config(found: Any, data: bytes) -> bool:
        said = json.loads(data)
        return _same(found["options"], said["options"]) and said["experiment"] == "pairs"

    def figures_of() -> Any:
        found = TextFigures.read(pairs, "pairs")
        return {"title": found.title, "references": found.references, "reference_run": found.reference_run}

    def is_figures(found: Any, data: bytes) -> bool:
        said = json.loads(data)
        run = found["reference_run"]
        return (
            _same([found["title"], found["references"]], [said["title"], said["references"]])
            and _same(None if run is None else vars(run), said["reference_run"])
            and isinstance(found["title"], str)
            and (run is None or len(run.steps) == len(run.losses))
            and all(isinstance(level, int | float) and np.isfinite(level) for level in found["references"].values())
        )

    def summarized() -> Any:
        summary = read_summary(pairs / "summary.json")
        results_of(summary)
        return summary

    def is_concluded(found: Any, data: bytes) -> bool:
        """`conclude` writes the same summary of what was read."""
        about = About(
            f"{found['experiment']}.py", found["question"], found["source"], found["published"], found["picture"]
        )
        options = type("Options", (), {"preset": found["preset"], "seed": found["seed"]})()
        again = RunFolder(folder / "again", "test")
        try:
            written = conclude(again, about, options, results_of(found), found["seconds"])
        finally:
            again.close()
            shutil.rmtree(folder / "again")
        return _same(written, found)

    patch.setattr(lesson, "save_figure", lambda figure, path: path)  # to draw takes longer than all that is tested

    def redrawn() -> Any:
        return [path.name for path in lesson.redraw(pairs)]

    return {
        "config": Kind(pairs / "config.json", opened, is_config, STRUCTURED),
        "figures of texts": Kind(pairs / "config.json", figures_of, is_figures, STRUCTURED),
        "summary": Kind(pairs / "summary.json", summarized, is_concluded, STRUCTURED),
        "figures of a lesson": Kind(pairs / "figures.json", redrawn, lambda found, data: True, STRUCTURED),
    }


def _texts(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Kind]:
    corpus, derivations, built = folder / "text.txt", folder / "derivations", folder / "site"
    corpus.write_text("Grüße, Welt.\n\nEs war einmal ein Transformer.\n" * 5, encoding="utf-8")
    derivations.mkdir()
    for name in ("README.md", *(path.name for path in pages.FOLDER.glob("*.md"))):
        shutil.copyfile(pages.FOLDER / name, derivations / name)
    patch.setattr(pages, "FOLDER", derivations)
    built.mkdir()
    (built / site.MANIFEST).write_text("index.html\nops/softmax.py.html\n")

    def is_text(found: Any, data: bytes) -> bool:
        return found.encode() == data.removeprefix(b"\xef\xbb\xbf") and "\0" not in found

    def is_listed(found: Any, data: bytes) -> bool:
        return all(".." not in Path(name).parts and not Path(name).is_absolute() for name in found)

    def page_texts() -> Any:
        found = {page.name: (page.title, page.summary, page.text) for page in pages.pages()}
        assert all(page.fences is not None for page in pages.pages())
        return found

    return {
        "corpus": Kind(corpus, lambda: read_corpus(corpus).text, is_text, BYTES),
        "manifest": Kind(built / site.MANIFEST, lambda: site._files_of_earlier_site(built), is_listed, BYTES),
        "list of pages": Kind(derivations / "README.md", page_texts, lambda found, data: bool(found), BYTES),
        "page": Kind(derivations / "softmax.md", page_texts, lambda found, data: b"\0" not in data, BYTES),
    }
