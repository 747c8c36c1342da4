import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import char_lm
from scratchformer.models import GPT, GPTConfig
from scratchformer.text import CharacterTokenizer, fixed_batches, pydoc_corpus
from scratchformer.training import load_weights

SCRIPT = Path(__file__).parents[2] / "experiments" / "char_lm.py"
TINY = ["--preset", "smoke", "--layers", "1", "--width", "16", "--steps", "20", "--warmup", "2"]
TINY += ["--evaluate-every", "10", "--evaluation-batches", "3", "--sample", "20"]


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    result = run("--preset", "smoke", "--out", str(folder), cwd=folder.parent)
    assert result.returncode == 0, result.stderr
    assert "step 300 of 300: training loss" in result.stdout
    return folder


def test_the_run_folder_holds_everything(smoke: Path) -> None:
    names = {path.name for path in smoke.iterdir()}
    expected = {"config.json", "metrics.csv", "summary.json", "weights.safetensors", "sample.txt", "loss.png"}
    assert expected <= names
    summary = json.loads((smoke / "summary.json").read_text())
    rows = list(csv.DictReader((smoke / "metrics.csv").read_text().splitlines()))
    assert len(rows) == 300
    assert float(rows[-1]["validation_loss"]) == summary["validation_loss"] == summary["achieved"]
    assert {"target", "passed"} <= summary.keys()


def test_the_smoke_preset_learns_more_than_letter_pairs(smoke: Path) -> None:
    references = json.loads((smoke / "config.json").read_text())["references"]
    assert json.loads((smoke / "summary.json").read_text())["validation_loss"] < references["bigrams"]


def test_the_weights_give_the_validation_loss_again(smoke: Path) -> None:
    config = json.loads((smoke / "config.json").read_text())
    model = GPT(GPTConfig(**config["model"]), generator=np.random.default_rng(9))
    load_weights(model, smoke / "weights.safetensors")
    _, validation = pydoc_corpus().split()
    ids = CharacterTokenizer(config["characters"]).encode(validation)
    batches = fixed_batches(ids, 12, 64, 200)
    count = sum(batch.num_targets for batch in batches)
    loss = sum(batch.num_targets * float(model.loss(batch.ids, batch.targets)[0]) for batch in batches) / count
    summary = json.loads((smoke / "summary.json").read_text())
    assert loss == pytest.approx(summary["validation_loss"], rel=1e-5)


def test_equal_seeds_give_equal_runs_with_threads_dropout_and_accumulation(tmp_path: Path) -> None:
    options = [*TINY, "--dropout", "0.1", "--accumulate", "2", "--threads", "2"]
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        assert run(*options, "--seed", seed, "--out", name, cwd=tmp_path).returncode == 0
    for file in ("metrics.csv", "weights.safetensors", "sample.txt", "loss.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes()


def test_a_run_that_diverges_stops_with_a_sentence_and_saves_no_weights(tmp_path: Path) -> None:
    result = run(*TINY, "--learning-rate", "1e30", "--out", "wild", cwd=tmp_path)
    assert result.returncode == 1
    assert "char_lm.py: error: training diverged in step " in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "wild" / "weights.safetensors").exists()


def test_only_the_published_settings_are_judged(tmp_path: Path) -> None:
    assert run(*TINY[2:], "--out", "short", cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "short" / "summary.json").read_text())["passed"] is None


def test_any_utf8_text_can_be_learned(tmp_path: Path) -> None:
    (tmp_path / "ode.txt").write_text("Freude, schöner Götterfunken, Tochter aus Elysium\n" * 40, encoding="utf-8")
    result = run(*TINY, "--text", "ode.txt", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    config = json.loads((tmp_path / "runs" / "char_lm-001" / "config.json").read_text(encoding="utf-8"))
    assert "ö" in config["characters"]
    assert config["corpus"]["name"] == "ode.txt"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--text", "missing.txt"], "text file missing.txt cannot be read: No such file or directory"),
        (["--text", "empty.txt"], "text file empty.txt is empty"),
        (["--text", "latin.txt"], "text file latin.txt is not UTF-8: byte 0xfc at offset 1"),
        (["--text", "short.txt"], "the last tenth of short.txt has 10 characters, --context 64 needs at least 65"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
        (["--threads", "13"], "--threads 13 is more than --batch 12; each takes a sequence"),
        (["--weight-decay", "inf"], "--weight-decay must be below inf, got inf"),
        (["--learning-rate", "nan"], "--learning-rate must be above 0, got nan"),
        (["--heads", "3"], "--heads 3 does not divide --width 128"),
        (["--learning-rate", "-0.1"], "--learning-rate must be above 0, got -0.1"),
        (["--learning-rat", "0.1"], "unknown option --learning-rat; did you mean --learning-rate?"),
        (["--warmup", "9", "--steps", "9"], "--warmup 9 must be less than --steps 9"),
        (["--betas", "0.9", "1"], "--betas must be below 1, got 1.0"),
        (["--dropout", "1"], "--dropout must be below 1, got 1.0"),
        (["--out", "full"], "run folder full is not empty; choose another, nothing was overwritten"),
    ],
)
def test_bad_input_is_one_clear_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes(b"f\xfcr")
    (tmp_path / "short.txt").write_text("x" * 100)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "results").touch()
    with pytest.raises(SystemExit, match="2"):
        char_lm.main(arguments)
    assert capsys.readouterr().err == f"char_lm.py: error: {said}\n"
    assert not (tmp_path / "runs").exists()
