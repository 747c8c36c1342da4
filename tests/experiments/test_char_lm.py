"""What a character model learns, writes and shows, and which texts, options and runs it is compared with."""

import csv
import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from experiments import char_lm
from experiments.char_lm import ComparedCharacterModel
from scratchformer.generation import Sampling
from scratchformer.models import GPT
from scratchformer.recipes import character_model
from scratchformer.recipes.character_model import NANOGPT, stripped
from scratchformer.recipes.language_model import language_model
from scratchformer.runs import ReferenceRun
from scratchformer.text import CharacterTokenizer, Corpus, fixed_batches, pydoc_corpus
from scratchformer.training import load, read_checkpoint
from tests.experiments.conftest import SmokeRun
from tests.experiments.running import TINY, refusal, run, start


@pytest.fixture
def smoke(smoke_of: Callable[[str], SmokeRun]) -> Path:
    return smoke_of("char_lm").path


def test_a_run_ends_with_its_last_loss_and_a_sample(smoke_of: Callable[[str], SmokeRun]) -> None:
    smoke = smoke_of("char_lm")
    rows = list(csv.DictReader((smoke.path / "metrics.csv").read_text().splitlines()))
    assert len(rows) == 300
    (result,) = json.loads((smoke.path / "summary.json").read_text())["results"]
    assert result["metric"] == "validation_loss_nats"
    assert float(rows[-1]["validation_loss"]) == result["achieved"]
    sample = (smoke.path / "sample.txt").read_text()
    assert f"\nA sample at temperature 0.8:\n{sample}\n" in smoke.printed
    assert len(sample) > 400


def test_the_smoke_preset_learns_more_than_letter_pairs(smoke: Path) -> None:
    references = json.loads((smoke / "config.json").read_text())["references"]
    (result,) = json.loads((smoke / "summary.json").read_text())["results"]
    assert result["achieved"] < references["bigrams"]


def test_the_best_model_gives_its_validation_loss_again(smoke: Path) -> None:
    config = json.loads((smoke / "config.json").read_text())
    model = load(smoke)
    _, validation = pydoc_corpus().split()
    ids = CharacterTokenizer(**config["tokenizer"]).encode(validation)
    batches = fixed_batches(ids, 6, 64, 40)
    count = sum(batch.num_targets for batch in batches)
    loss = sum(batch.num_targets * float(model.loss(batch.ids, batch.targets)[0]) for batch in batches) / count
    rows = csv.DictReader((smoke / "metrics.csv").read_text().splitlines())
    assert loss == pytest.approx(min(float(row["validation_loss"]) for row in rows if row["validation_loss"]), rel=1e-5)


@pytest.mark.usefixtures("without_pixels")
def test_the_attention_text_can_be_chosen_for_a_run_and_for_its_figures(smoke: Path, tmp_path: Path) -> None:
    assert run("char_lm.py", *TINY, "--attention-text", "abba", "--out", "run", cwd=tmp_path).returncode == 0
    shutil.copytree(smoke, tmp_path / "copy")
    result = run("char_lm.py", "--plot-only", "copy", "--attention-text", "abba", "--no-figures", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for folder in ("run", "copy"):
        svg = (tmp_path / folder / "attention.svg").read_text()
        assert all(f">{tick}<" in svg for tick in ("a (1)", "b (2)", "b (3)", "a (4)"))


@pytest.mark.usefixtures("without_pixels")
def test_another_run_can_stand_in_grey_behind_this_one(smoke: Path, tmp_path: Path) -> None:
    result = run("char_lm.py", *TINY, "--reference-run", str(smoke), "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["reference_run"]
    assert stored["steps"] == [100, 200, 300]
    assert ">validation, run<" in (tmp_path / "run" / "loss.svg").read_text()


def test_a_run_on_another_text_cannot_be_compared_with(smoke: Path, tmp_path: Path) -> None:
    (tmp_path / "ode.txt").write_text("Freude, schoener Goetterfunken, Tochter aus Elysium\n" * 40)
    result = run("char_lm.py", *TINY, "--text", "ode.txt", "--reference-run", str(smoke), cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.endswith("learned from another text, its losses cannot be compared with these\n")


def test_a_run_that_diverges_stops_with_a_sentence_and_saves_no_weights(tmp_path: Path) -> None:
    result = run("char_lm.py", *TINY, "--learning-rate", "1e30", "--save-every", "1", "--out", "wild", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("char_lm.py: error: training diverged in step 2: the loss is ")
    assert "; the first to go non-finite was " in result.stderr
    assert "; its batch is in wild/diverged_batch.safetensors; the last good checkpoint is wild/last." in result.stderr
    assert result.stderr.count("\n") == 1
    assert load_file(tmp_path / "wild" / "diverged_batch.safetensors")["ids"].shape == (3, 64)
    assert read_checkpoint(tmp_path / "wild" / "last.safetensors").description["num_steps"] == 1


def test_only_the_published_settings_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, pydoc = char_lm.PRESETS["quick"], Corpus("pydoc", "any")
    assert char_lm.known_targets(quick, pydoc) == (1.25, {})
    assert char_lm.known_targets(NANOGPT, pydoc) == (1.50, {})
    assert char_lm.known_targets(replace(char_lm.PRESETS["paper"], seed=3, sample=9, threads=1), pydoc)[0] == 1.25
    for changed in ({"steps": 1999}, {"optimizer": "adam"}, {"qk_norm": False}, {"evaluation_batches": 3}):
        assert char_lm.known_targets(replace(quick, **changed), pydoc) == (None, {})
    assert char_lm.known_targets(char_lm.PRESETS["smoke"], pydoc) == (None, {})
    other = Corpus("other.txt", "any other")
    assert char_lm.known_targets(quick, other) == (None, {})
    monkeypatch.setattr(char_lm, "TINY_SHAKESPEARE", other.sha256)
    assert char_lm.known_targets(quick, other) == (1.60, {"nanoGPT": 1.88})
    assert char_lm.known_targets(NANOGPT, other) == (1.90, {"nanoGPT": 1.88})


def test_the_reference_run_stands_behind_runs_of_its_options_and_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = ReferenceRun("reference run", [250, 500], [2.5, 2.25])
    monkeypatch.setattr(char_lm, "reference_run", lambda *given: {(char_lm.__file__, "quick"): shown}[given[:2]])
    (tmp_path / "other.txt").write_text("abc" * 999)
    quick = char_lm.PRESETS["quick"]
    assert ComparedCharacterModel(quick).notes["reference_run"] == vars(shown)
    for options in (
        replace(quick, heads=2),
        NANOGPT,
        char_lm.PRESETS["smoke"],
        replace(quick, text=tmp_path / "other.txt"),
    ):
        assert ComparedCharacterModel(options).notes["reference_run"] is None


def test_a_gpt_may_differ_from_gpt_2_and_be_trained_by_another_optimizer(tmp_path: Path) -> None:
    options = [
        "--model",
        "gpt",
        "--optimizer",
        "momentum",
        "--positions",
        "none",
        "--no-norm-first",
        "--activation",
        "swiglu",
    ]
    result = run("char_lm.py", *TINY, *options, "--no-figures", "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert not list((tmp_path / "run").glob("*.png"))
    config = load(tmp_path / "run").config
    assert (config.positions, config.norm_first, config.activation) == ("none", False, "swiglu")
    training = read_checkpoint(tmp_path / "run" / "last.safetensors").description["training"]
    assert training["optimizer"] == {"type": "SGD", "momentum": 0.9, "nesterov": False}


def test_any_utf8_text_can_be_learned(tmp_path: Path) -> None:
    (tmp_path / "ode.txt").write_text("Freude, schöner Götterfunken, Tochter aus Elysium\n" * 40, encoding="utf-8")
    result = run("char_lm.py", *TINY, "--text", "ode.txt", "--no-figures", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    config = json.loads((tmp_path / "runs" / "char_lm-001" / "config.json").read_text(encoding="utf-8"))
    assert "ö" in config["tokenizer"]["characters"]
    assert config["title"] == "A character model of ode.txt"


def test_a_llama_is_trained_sampled_and_no_larger_than_the_gpt(tmp_path: Path) -> None:
    result = run("char_lm.py", *TINY, "--model", "llama", "--no-figures", "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    model = load(tmp_path / "run")
    assert type(model).__name__ == "Llama"
    result = run("sample.py", "run", "--tokens", "5", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    sizes = [language_model(replace(NANOGPT, model=name), 65).values.size for name in ("gpt", "llama")]
    assert 0.98 * sizes[0] < sizes[1] <= sizes[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--text", "missing.txt"], "text file missing.txt cannot be read: No such file or directory"),
        (["--text", "empty.txt"], "text file empty.txt is empty"),
        (["--text", "latin.txt"], "text file latin.txt is not UTF-8: byte 0xfc at offset 1"),
        (["--text", "short.txt"], "the last tenth of short.txt has 10 characters, --context 128 needs at least 129"),
        (
            ["--attention-text", "\u4e2d"],
            "CharacterTokenizer: text holds '\u4e2d' at position 0, which is not in the vocabulary of 103 characters",
        ),
        (
            ["--positions", "none"],
            "--model llama has positions, norms and an activation of its own; --model gpt has a choice",
        ),
        (
            ["--model", "llama", "--no-norm-first"],
            "--model llama has positions, norms and an activation of its own; --model gpt has a choice",
        ),
        (
            ["--model", "gpt", "--positions", "rotary", "--width", "12"],
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


def test_a_reader_that_has_gone_does_not_stop_the_training(tmp_path: Path) -> None:
    process = start("char_lm.py", *TINY, "--no-figures", "--out", "run", cwd=tmp_path)
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
    assert (tmp_path / "run" / "summary.json").exists()


def test_ctrl_c_while_it_samples_says_that_the_model_is_saved(tmp_path: Path) -> None:
    process = start("char_lm.py", *TINY, "--sample", "10000000", "--out", "run", cwd=tmp_path)
    while "A sample at temperature" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    first, last = said.splitlines()
    assert first.startswith("SIGINT stopped the run after the training, which is saved; sample or figures are missing")
    assert last.endswith("char_lm.py --resume run")
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_a_sample_loses_the_line_breaks_at_its_ends_as_it_comes() -> None:
    for text in ("\n\na\n\nb\n\n", "\n", "", "ab", "a\n"):
        assert "".join(stripped(text)) == text.strip("\n")


def test_the_micro_batches_of_a_step_are_together_one_large_batch() -> None:
    smoke = char_lm.PRESETS["smoke"]
    in_parts = ComparedCharacterModel(replace(smoke, batch=2, accumulate=3)).training.batches
    at_once = ComparedCharacterModel(replace(smoke, batch=6)).shuffled
    for step in range(3):
        np.testing.assert_array_equal(np.concatenate([part.ids for part in in_parts(step)]), at_once(step).ids)


def test_every_option_of_the_sample_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def generate(model: GPT, prompt: np.ndarray, num_tokens: int, *, context_length: int, choose: Sampling) -> list:
        asked.append((num_tokens, context_length, choose.temperature, choose.top_k, choose.generator.random()))
        return []

    monkeypatch.setattr(character_model, "generate", generate)
    options = replace(char_lm.PRESETS["smoke"], sample=5, context=32, temperature=0.3, top_k=7, seed=2)
    assert list(ComparedCharacterModel(options).sample()) == []
    assert asked == [(5, 32, 0.3, 7, np.random.default_rng(2).random())]
