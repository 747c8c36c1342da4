"""What the measurement of weights in fewer bits counts and prints."""

from pathlib import Path

import numpy as np
import pytest

from experiments.weights import measure
from experiments.weights.__main__ import main
from scratchformer.ops import cross_entropy
from tests.annotations import unchecked
from tests.commands.small_models import encoder, language_model


def test_every_token_but_the_first_is_predicted_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measure, "WINDOW", 8)
    model, _ = language_model(tmp_path)
    ids = np.random.default_rng(0).integers(600, size=20)
    losses = []
    for i in range(1, len(ids)):
        seen = ids[(i - 1) // 8 * 8 : i]
        logits, _ = model(seen[None])
        losses.append(cross_entropy(logits[0, -1:].astype(np.float64), ids[i : i + 1])[0])
    assert measure.perplexity(model, ids) == pytest.approx(np.exp(np.mean(losses)), rel=1e-5)


def test_a_table_has_a_row_for_each_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    language_model(tmp_path)  # of width 8, which has no blocks of 32
    with unchecked():
        main([str(tmp_path), "--tokens", "30", "--new-tokens", "3", "--processes", "1"])
    _, head, *rows = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "weights"
    assert [row.split()[0] for row in rows] == ["wide", "bfloat16", "file"]
    perplexities = [float(row.split()[1]) for row in rows]
    assert perplexities[2] == pytest.approx(perplexities[0], rel=1e-5)
    assert 1e-5 < abs(perplexities[1] / perplexities[0] - 1) < 0.1
    assert all(float(row.split()[2]) > 0 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encoder"], "encoder holds an encoder, BERT, which continues no text; see `embed`"),
        (["absent"], "absent: there is no such file or folder; by name there are smollm2 and minilm"),
        (["model", "--tokens", "0"], "--tokens must be at least 1, got 0"),
        (["model", "--tokens", "1"], "the text has 1 tokens, expected at least 2"),
        (["model", "--text", "absent.txt"], "text file absent.txt cannot be read: No such file or directory"),
    ],
)
def test_bad_options_get_one_sentence(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    language_model(tmp_path / "model")
    encoder(tmp_path / "encoder")
    with unchecked(), pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"python -m experiments.weights: error: {message}\n"
