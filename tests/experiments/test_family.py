"""A BERT and a Llama: their runs end, go on after a stop, are drawn again, and refuse what makes no sense."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import masked_lm
from scratchformer.recipes.language_model import LanguageModelOptions, language_model
from scratchformer.runs import Result, read_table
from scratchformer.text import fixed_masked_batches, ngram_entropy, pydoc_corpus
from scratchformer.training import load
from tests.experiments.running import TINY, refusal, run, run_program

SHORT = ["--preset", "smoke", "--steps", "20", "--evaluate-every", "10", "--evaluation-batches", "2"]
FIGURES = {f"{name}.{suffix}" for name in ("loss", "norms") for suffix in ("png", "svg")}
REPEATED = {"metrics.csv", "norms.csv", "best.safetensors", "last.safetensors"} | FIGURES


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masked") / "run"
    options = [*SHORT, "--layers", "2", "--dropout", "0.1", "--average", "0.5", "--save-every", "5"]
    result = run_program("masked_lm.py", *options, "--out", "run", cwd=folder.parent)
    assert result.returncode == 0, result.stderr
    hidden, filled = re.search(r"\nhidden: (.*)\nfilled: (.*)\n", result.stdout).groups()
    assert len(hidden) == len(filled)
    assert "_" in hidden
    assert result.stdout.endswith("figures: run/loss.png run/norms.png\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in REPEATED}


def test_a_run_ends_with_everything_in_its_folder(masked: Path) -> None:
    assert {path.name for path in masked.iterdir()} == REPEATED | {"config.json", "summary.json"}
    summary = json.loads((masked / "summary.json").read_text())
    (result,) = summary["results"]
    rows = list(csv.DictReader((masked / "metrics.csv").read_text().splitlines()))
    assert result["achieved"] == float(rows[-1]["validation_loss"])
    assert (result["metric"], result["target"]) == ("validation_loss_nats", None)
    assert summary["question"].startswith("Does a BERT ")
    assert summary["picture"] in FIGURES


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    masked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def batch(self: masked_lm.MaskedBatches, step: int) -> masked_lm.TokenBatch:
        if step == 13:
            raise Killed
        return draw(self, step)

    draw = masked_lm.MaskedBatches.__call__
    options = json.loads((masked / "config.json").read_text())["options"]
    typed = [text for name, value in options.items() for text in typed_as(name, value)]
    with monkeypatch.context() as patch:
        patch.setattr(masked_lm.MaskedBatches, "__call__", batch)
        with pytest.raises(Killed):
            run("masked_lm.py", *typed, "--out", "run", cwd=tmp_path)
    assert not (tmp_path / "run" / "summary.json").exists()
    result = run("masked_lm.py", "--resume", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert contents(tmp_path / "run") == contents(masked)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["seconds"] is None


def typed_as(name: str, value: object) -> list[str]:
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    return [f"--{option}", str(value)]


def test_figures_are_drawn_anew_from_the_folder_alone(masked: Path, tmp_path: Path) -> None:
    kept = {*FIGURES, "best.safetensors", "last.safetensors", "summary.json"}
    shutil.copytree(masked, tmp_path / "copy", ignore=lambda folder, names: kept)
    result = run("masked_lm.py", "--plot-only", "copy", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "figures: copy/loss.png copy/norms.png\n")
    for name in FIGURES:
        assert (tmp_path / "copy" / name).read_bytes() == (masked / name).read_bytes()
    losses, norms = ((masked / f"{name}.svg").read_text() for name in ("loss", "norms"))
    for label in ("unigrams 3.25", "validation", "loss (nats per hidden character)"):
        assert f">{label}<" in losses
    for label in ("layer 1", "layer 2"):
        assert f">{label}<" in norms


def test_on_the_embedded_text_the_reference_run_is_drawn_behind(
    masked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curves = {"validation_loss": (np.array([10, 20]), np.array([3.0, 2.5]))}
    by_script = {(masked_lm.__file__, "quick"): curves}
    monkeypatch.setattr(masked_lm, "reference_curves", lambda *given: by_script[given])
    found = {
        name: masked_lm.describe_figures(
            masked_lm.PRESETS["quick"], corpus, masked_lm.CharacterTokenizer.from_text(corpus.text)
        )["reference_run"]
        for name, corpus in (
            ("embedded", pydoc_corpus()),
            ("other", masked_lm.Corpus("ode.txt", "Freude, Tochter " * 9)),
        )
    }
    assert found == {"embedded": {"name": "reference run", "steps": [10, 20], "losses": [3.0, 2.5]}, "other": None}
    shutil.copytree(masked, tmp_path / "copy")
    earlier = found["embedded"] | {"name": "an earlier run"}
    config = json.loads((masked / "config.json").read_text()) | {"reference_run": earlier}
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config))
    masked_lm.draw(tmp_path / "copy")
    assert ">validation, an earlier run<" in (tmp_path / "copy" / "loss.svg").read_text()


@pytest.mark.parametrize(
    ("options", "corpus", "target"),
    [
        ({}, "pydoc", 2.6),
        ({"seed": 1, "save_every": 7, "threads": 1, "out": Path("x")}, "pydoc", 2.6),
        ({"preset": "paper", "steps": 2500}, "pydoc", 2.4),
        ({"steps": 1251}, "pydoc", None),
        ({"share": 0.2}, "pydoc", None),
        ({}, "ode.txt", None),
    ],
)
def test_the_target_is_that_of_the_preset_on_the_embedded_text(
    options: dict[str, Any], corpus: str, target: float | None
) -> None:
    config = replace(masked_lm.PRESETS["quick"], **options)
    result = masked_lm.judge(config, masked_lm.Corpus(corpus, "text"), 2.4)
    assert result == Result("validation_loss_nats", 2.4, target, "lower")
    assert masked_lm.judge(masked_lm.PRESETS["smoke"], masked_lm.Corpus("pydoc", "text"), 2.4).target is None


@pytest.mark.parametrize(
    ("script", "arguments", "sentence"),
    [
        ("masked_lm.py", ["--share", "0"], "MaskedBatches: share must lie in (0, 1], got 0.0"),
        ("masked_lm.py", ["--text", "nowhere.txt"], "text file nowhere.txt cannot be read: No such file or directory"),
        ("masked_lm.py", ["--warmup", "1250"], "--warmup must be below 1250, got 1250"),
        ("masked_lm.py", ["--threads", "17"], "--threads 17 is more than --batch 16; each takes a sequence"),
        ("char_lm.py", ["--model", "llama", "--bias"], "--model llama has no --bias, and heads of an even width"),
        (
            "char_lm.py",
            ["--model", "llama", "--width", "12"],
            "--model llama has no --bias, and heads of an even width",
        ),
    ],
)
def test_bad_options_are_one_sentence(script: str, arguments: list[str], sentence: str, tmp_path: Path) -> None:
    assert refusal(script, *arguments, cwd=tmp_path) == sentence


def test_a_llama_is_trained_sampled_and_no_larger_than_the_gpt(tmp_path: Path) -> None:
    result = run("char_lm.py", *TINY, "--model", "llama", "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    model = load(tmp_path / "run")
    assert type(model).__name__ == "Llama"
    result = run("sample.py", "run", "--tokens", "5", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    sizes = [language_model(LanguageModelOptions(model=name), 65).values.size for name in ("gpt", "llama")]
    assert 0.98 * sizes[0] < sizes[1] <= sizes[0]


def test_hidden_characters_are_filled_in_and_the_others_stay() -> None:
    class Guesser:
        """Takes every character for the third."""

        def __call__(self, ids: np.ndarray) -> tuple[np.ndarray, None]:
            return np.eye(5)[np.full(ids.shape, 2)], None

        def masked_head(self, encoded: np.ndarray) -> tuple[np.ndarray, None]:
            return encoded, None

    tokenizer = masked_lm.CharacterTokenizer("abcd")
    batch = masked_lm.TokenBatch(np.array([[0, 4, 3]]), np.array([[-100, 1, -100]]))
    assert masked_lm.fill_in(Guesser(), tokenizer, batch, mask_id=4) == "hidden: 'a_d'\nfilled: 'acd'"


def test_what_is_evaluated_are_the_hidden_characters(masked: Path) -> None:
    model, config = load(masked), json.loads((masked / "config.json").read_text())
    options, reference = config["options"], config["references"]["unigrams"]
    tokenizer = masked_lm.CharacterTokenizer.from_text(pydoc_corpus().text)
    training, validation = map(tokenizer.encode, pydoc_corpus().split())
    vocabulary = {"vocabulary_size": tokenizer.vocabulary_size + 1, "mask_id": tokenizer.vocabulary_size}
    batches = fixed_masked_batches(
        validation, options["batch"], options["context"], options["evaluation_batches"], seed=0, **vocabulary
    )
    losses = [float(model.loss(batch.ids, batch.targets)[0]) for batch in batches]
    counts = [batch.num_targets for batch in batches]
    found = min(float(row) for row in read_table(masked / "metrics.csv")["validation_loss"] if row)
    assert found == pytest.approx(np.average(losses, weights=counts), rel=1e-5)
    assert reference == ngram_entropy(training, validation, tokenizer.vocabulary_size, 1)
    assert reference == pytest.approx(3.25, abs=0.02)
