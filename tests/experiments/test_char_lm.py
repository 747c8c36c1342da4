import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from experiments import char_lm
from scratchformer.text import CharacterTokenizer, Corpus, fixed_batches, pydoc_corpus
from scratchformer.training import load, read_checkpoint
from tests.experiments.running import TINY, refusal, run


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    result = run("char_lm.py", "--preset", "smoke", "--out", str(folder), cwd=folder.parent)
    assert result.returncode == 0, result.stderr
    assert "step 300 of 300: training loss" in result.stdout
    return folder


def test_the_run_folder_holds_everything(smoke: Path) -> None:
    names = {path.name for path in smoke.iterdir()}
    figures = {f"{name}.{suffix}" for name in ("loss", "norms", "attention") for suffix in ("png", "svg")}
    tables = {"metrics.csv", "norms.csv", "config.json", "summary.json", "sample.txt"}
    assert names == tables | figures | {"last.safetensors", "best.safetensors"}
    summary = json.loads((smoke / "summary.json").read_text())
    rows = list(csv.DictReader((smoke / "metrics.csv").read_text().splitlines()))
    assert len(rows) == 300
    (result,) = summary["results"]
    assert result["metric"] == "validation_loss_nats"
    assert float(rows[-1]["validation_loss"]) == result["achieved"]
    assert result["target"] is summary["passed"] is None
    assert (summary["experiment"], summary["preset"], summary["seed"]) == ("char_lm", "smoke", 0)
    assert summary["seconds"] > 0


def test_the_smoke_preset_learns_more_than_letter_pairs(smoke: Path) -> None:
    references = json.loads((smoke / "config.json").read_text())["references"]
    (result,) = json.loads((smoke / "summary.json").read_text())["results"]
    assert result["achieved"] < references["bigrams"]


def test_the_best_model_gives_its_validation_loss_again(smoke: Path) -> None:
    config = json.loads((smoke / "config.json").read_text())
    model = load(smoke)
    _, validation = pydoc_corpus().split()
    ids = CharacterTokenizer(**config["tokenizer"]).encode(validation)
    batches = fixed_batches(ids, 12, 64, 40)
    count = sum(batch.num_targets for batch in batches)
    loss = sum(batch.num_targets * float(model.loss(batch.ids, batch.targets)[0]) for batch in batches) / count
    rows = csv.DictReader((smoke / "metrics.csv").read_text().splitlines())
    assert loss == pytest.approx(min(float(row["validation_loss"]) for row in rows if row["validation_loss"]), rel=1e-5)


def test_figures_are_drawn_anew_from_the_folder_alone(smoke: Path, tmp_path: Path) -> None:
    figures = [f"{name}.{suffix}" for name in ("loss", "norms", "attention") for suffix in ("png", "svg")]
    copy = tmp_path / "copy"
    shutil.copytree(smoke, copy, ignore=lambda folder, names: {*figures, "last.safetensors"})
    result = run("char_lm.py", "--plot-only", "copy", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "figures: copy/loss.png copy/norms.png copy/attention.png\n"
    for name in figures:
        assert (copy / name).read_bytes() == (smoke / name).read_bytes()
    result = run("char_lm.py", "--plot-only", "copy", "--attention-text", "abba", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert ">b (3)<" in (copy / "attention.svg").read_text()


def test_another_run_can_stand_in_grey_behind_this_one(smoke: Path, tmp_path: Path) -> None:
    result = run("char_lm.py", *TINY, "--reference-run", str(smoke), "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["reference_run"]
    assert stored["steps"] == [100, 200, 300]
    assert ">validation, smoke<" in (tmp_path / "run" / "loss.svg").read_text()


def test_a_run_on_another_text_cannot_be_compared_with(smoke: Path, tmp_path: Path) -> None:
    (tmp_path / "ode.txt").write_text("Freude, schoener Goetterfunken, Tochter aus Elysium\n" * 40)
    result = run("char_lm.py", *TINY, "--text", "ode.txt", "--reference-run", str(smoke), cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.endswith("learned from another text, its losses cannot be compared with these\n")


def test_the_attention_text_can_be_chosen(tmp_path: Path) -> None:
    assert run("char_lm.py", *TINY, "--attention-text", "abba", "--out", "run", cwd=tmp_path).returncode == 0
    svg = (tmp_path / "run" / "attention.svg").read_text()
    assert all(f">{tick}<" in svg for tick in ("a (1)", "b (2)", "b (3)", "a (4)"))


def test_equal_seeds_give_equal_runs_with_threads_dropout_and_accumulation(tmp_path: Path) -> None:
    options = [*TINY, "--dropout", "0.1", "--accumulate", "2", "--threads", "2"]
    for name, *others in (("a", "5"), ("b", "5"), ("c", "6", "--no-figures")):
        assert run("char_lm.py", *options, "--out", name, "--seed", *others, cwd=tmp_path).returncode == 0
    tables = ["metrics.csv", "norms.csv", "best.safetensors", "sample.txt"]
    for file in (*tables, "loss.png", "attention.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    for file in tables:
        assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes()


def test_a_run_that_diverges_stops_with_a_sentence_and_saves_no_weights(tmp_path: Path) -> None:
    result = run("char_lm.py", *TINY, "--learning-rate", "1e30", "--save-every", "1", "--out", "wild", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("char_lm.py: error: training diverged in step 2: the loss is ")
    assert "; the first to go non-finite was " in result.stderr
    assert "; its batch is in wild/diverged_batch.safetensors; the last good checkpoint is wild/last." in result.stderr
    assert result.stderr.count("\n") == 1
    assert load_file(tmp_path / "wild" / "diverged_batch.safetensors")["ids"].shape == (6, 64)
    assert read_checkpoint(tmp_path / "wild" / "last.safetensors").description["num_steps"] == 1


def test_only_the_published_settings_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, pydoc = char_lm.PRESETS["quick"], Corpus("pydoc", "any")
    assert char_lm.known_targets(quick, pydoc) == (1.62, {})
    assert char_lm.known_targets(replace(char_lm.PRESETS["paper"], seed=3, sample=9, threads=1), pydoc)[0] == 1.62
    for changed in ({"steps": 1999}, {"optimizer": "adam"}, {"positions": "none"}, {"evaluation_batches": 3}):
        assert char_lm.known_targets(replace(quick, **changed), pydoc) == (None, {})
    assert char_lm.known_targets(char_lm.PRESETS["smoke"], pydoc) == (None, {})
    other = Corpus("other.txt", "any other")
    assert char_lm.known_targets(quick, other) == (None, {})
    monkeypatch.setattr(char_lm, "TINY_SHAKESPEARE", other.sha256)
    assert char_lm.known_targets(quick, other) == (1.90, {"nanoGPT": 1.88})


def test_the_reference_run_stands_behind_runs_of_its_options_and_text(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    curves = {"validation_loss": (np.array([250, 500]), np.array([2.5, 2.25]))}
    monkeypatch.setattr(char_lm, "reference_curves", lambda *given: asked.append(given) or curves)
    quick, pydoc, other = char_lm.PRESETS["quick"], Corpus("pydoc", "abc" * 99), Corpus("other.txt", "abc" * 99)
    tokenizer = CharacterTokenizer("abc")
    shown = {"name": "reference run", "steps": [250, 500], "losses": [2.5, 2.25]}
    assert char_lm.describe_figures(quick, pydoc, tokenizer)["reference_run"] == shown
    assert asked == [(char_lm.__file__, "quick")]
    for config, corpus in ((replace(quick, heads=2), pydoc), (char_lm.PRESETS["smoke"], pydoc), (quick, other)):
        assert char_lm.describe_figures(config, corpus, tokenizer)["reference_run"] is None


def test_a_gpt_may_differ_from_gpt_2_and_be_trained_by_another_optimizer(tmp_path: Path) -> None:
    options = ["--optimizer", "momentum", "--positions", "none", "--no-norm-first", "--activation", "swiglu"]
    result = run("char_lm.py", *TINY, *options, "--no-figures", "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert not list((tmp_path / "run").glob("*.png"))
    config = load(tmp_path / "run").config
    assert (config.positions, config.norm_first, config.activation) == ("none", False, "swiglu")
    training = read_checkpoint(tmp_path / "run" / "last.safetensors").description["training"]
    assert training["optimizer"] == {"type": "SGD", "momentum": 0.9, "nesterov": False}


def test_any_utf8_text_can_be_learned(tmp_path: Path) -> None:
    (tmp_path / "ode.txt").write_text("Freude, schöner Götterfunken, Tochter aus Elysium\n" * 40, encoding="utf-8")
    result = run("char_lm.py", *TINY, "--text", "ode.txt", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    config = json.loads((tmp_path / "runs" / "char_lm-001" / "config.json").read_text(encoding="utf-8"))
    assert "ö" in config["tokenizer"]["characters"]
    assert config["title"] == "A character model of ode.txt"


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
        (["--warmup", "9", "--steps", "9"], "--warmup 9 must be less than --steps 9"),
        (["--betas", "0.9", "1"], "--betas must be below 1, got 1.0"),
        (["--dropout", "1"], "--dropout must be below 1, got 1.0"),
        (["--attention-text", "x" * 41], "--attention-text has 41 characters, at most 40 are drawn"),
        (
            ["--attention-text", "\u4e2d"],
            "CharacterTokenizer: '\u4e2d' at position 0 is not in the vocabulary of 103 characters",
        ),
        (["--save-every", "0"], "--save-every must be at least 1, got 0"),
        (["--sample", "-1"], "--sample must be at least 0, got -1"),
        (
            ["--model", "llama", "--positions", "none"],
            "--model llama has positions, norms and an activation of its own",
        ),
        (["--model", "llama", "--no-norm-first"], "--model llama has positions, norms and an activation of its own"),
        (
            ["--positions", "rotary", "--width", "12"],
            "GPTConfig: num_heads 4 does not divide d_model 12 into even widths",
        ),
        (["--reference-run", "full"], "full/config.json cannot be read: No such file or directory"),
    ],
)
def test_bad_input_is_one_clear_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes(b"f\xfcr")
    (tmp_path / "short.txt").write_text("x" * 100)
    (tmp_path / "full").mkdir()
    assert refusal("char_lm.py", *arguments, cwd=tmp_path) == said
