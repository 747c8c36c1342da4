"""Hidden characters are what is evaluated and filled in; texts, targets and reference runs are what they should be."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import masked_lm
from experiments.masked_lm import PRESETS, MaskedModel
from scratchformer.runs import ReferenceRun, Result
from scratchformer.text import CharacterTokenizer, TokenBatch, fixed_masked_batches, ngram_entropy, pydoc_corpus
from scratchformer.training import load
from tests.experiments.conftest import SmokeRun
from tests.experiments.running import refusal

TINY = replace(PRESETS["smoke"], width=8, heads=1, evaluation_batches=1)


@pytest.fixture
def ode(tmp_path: Path) -> Path:
    path = tmp_path / "ode.txt"
    path.write_text("Freude, Tochter " * 90)
    return path


def test_a_run_ends_with_its_last_loss_and_a_window_filled_in(smoke_of: Callable[[str], SmokeRun]) -> None:
    smoke = smoke_of("masked_lm")
    hidden, filled = re.search(r"\nhidden: (.*)\nfilled: (.*)\n", smoke.printed).groups()
    assert len(hidden) == len(filled)
    assert "_" in hidden
    summary = json.loads((smoke.path / "summary.json").read_text())
    (result,) = summary["results"]
    rows = list(csv.DictReader((smoke.path / "metrics.csv").read_text().splitlines()))
    assert result["achieved"] == float(rows[-1]["validation_loss"])
    assert result["metric"] == "validation_loss_nats"
    assert summary["question"].startswith("Does a BERT ")
    losses, norms = ((smoke.path / f"{name}.svg").read_text() for name in ("loss", "norms"))
    for label in ("unigrams 3.25", "validation (averaged weights)", "loss, nats per hidden character"):
        assert f">{label}<" in losses
    assert ">layer 1<" in norms


def test_what_is_evaluated_are_the_hidden_characters(smoke_of: Callable[[str], SmokeRun]) -> None:
    smoke = smoke_of("masked_lm").path
    model, config = load(smoke), json.loads((smoke / "config.json").read_text())
    options, reference = config["options"], config["references"]["unigrams"]
    tokenizer = CharacterTokenizer.from_text(pydoc_corpus().text)
    training, validation = map(tokenizer.encode, pydoc_corpus().split())
    vocabulary = {"vocabulary_size": tokenizer.vocabulary_size + 1, "mask_id": tokenizer.vocabulary_size}
    batches = fixed_masked_batches(
        validation, options["batch"], options["context"], options["evaluation_batches"], seed=5, **vocabulary
    )
    losses = [float(model.loss(batch.ids, batch.targets)[0]) for batch in batches]
    counts = [batch.num_targets for batch in batches]
    rows = csv.DictReader((smoke / "metrics.csv").read_text().splitlines())
    found = min(float(row["validation_loss"]) for row in rows if row["validation_loss"])
    assert found == pytest.approx(np.average(losses, weights=counts), rel=1e-5)
    assert reference == ngram_entropy(training, validation, tokenizer.vocabulary_size, 1)
    assert reference == pytest.approx(3.25, abs=0.02)


def test_hidden_characters_are_filled_in_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    class Guesser:
        """Takes every character for the third."""

        def __call__(self, ids: np.ndarray) -> tuple[np.ndarray, None]:
            return np.eye(5)[np.full(ids.shape, 2)], None

        def masked_head(self, encoded: np.ndarray) -> tuple[np.ndarray, None]:
            return encoded, None

    run = MaskedModel(TINY)
    run.tokenizer, run.mask_id = CharacterTokenizer("abcd"), 4
    batch = TokenBatch(np.array([[0, 4, 3]]), np.array([[-100, 1, -100]]))
    run.training = replace(run.training, evaluation_batches=[batch])
    monkeypatch.setattr(MaskedModel, "model", Guesser())
    assert run.fill_in() == "hidden: 'a_d'\nfilled: 'acd'"


@pytest.mark.usefixtures("without_pixels")
def test_on_the_embedded_text_the_reference_run_is_drawn_behind(
    smoke_of: Callable[[str], SmokeRun], ode: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = ReferenceRun("an earlier run", [10, 20], [3.0, 2.5])
    monkeypatch.setattr(masked_lm, "reference_run", lambda *given: {(masked_lm.__file__, "smoke"): shown}[given[:2]])
    found = [MaskedModel(replace(TINY, text=text)).notes["reference_run"] for text in (None, ode)]
    assert found == [vars(shown), None]
    shutil.copytree(smoke_of("masked_lm").path, tmp_path / "copy")
    config = json.loads((tmp_path / "copy" / "config.json").read_text()) | {"reference_run": vars(shown)}
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config))
    MaskedModel.draw(tmp_path / "copy")
    assert ">validation, an earlier run<" in (tmp_path / "copy" / "loss.svg").read_text()
    for damage in ({"reference_run": {"name": "other"}}, {"references": {"unigrams": 10**400}}):
        (tmp_path / "copy" / "config.json").write_text(json.dumps(config | damage))
        with pytest.raises(ValueError, match=r"copy/config\.json is damaged: ."):
            MaskedModel.draw(tmp_path / "copy")


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({}, 2.2),
        ({"seed": 1, "save_every": 7, "threads": 1, "out": Path("x")}, 2.2),
        ({"preset": "paper", "steps": 2500}, 1.5),
        ({"steps": 1251}, None),
        ({"share": 0.2}, None),
        ({"text": Path("ode.txt")}, None),
    ],
)
def test_the_target_is_that_of_the_preset_on_the_embedded_text(
    options: dict[str, Any], target: float | None, ode: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ode.parent)
    monkeypatch.setattr(MaskedModel, "fill_in", lambda self: "")
    run = MaskedModel(replace(PRESETS["quick"], **options))
    run.validation_loss = 2.4
    assert run.judge(None) == [Result("validation_loss_nats", 2.4, target, "lower")]


def test_a_text_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    said = refusal("masked_lm.py", "--text", "nowhere.txt", cwd=tmp_path)
    assert said == "text file nowhere.txt cannot be read: No such file or directory"
