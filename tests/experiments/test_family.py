"""The experiments that train what is not a GPT: they end, go on after a stop, and refuse what makes no sense."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from experiments import masked_lm, reverse
from scratchformer.text import fixed_masked_batches, ngram_entropy, pydoc_corpus
from scratchformer.training import load
from tests.experiments.running import TINY, run

SCRIPTS = {
    "reverse.py": ["--preset", "smoke", "--steps", "20", "--tests", "10", "--evaluate-every", "10"],
    "masked_lm.py": ["--preset", "smoke", "--steps", "20", "--evaluate-every", "10"],
}
RESULTS = {"config.json", "summary.json", "metrics.csv", "norms.csv", "best.safetensors", "last.safetensors"}
FIGURES = {f"{name}.{suffix}" for name in ("loss", "norms") for suffix in ("png", "svg")}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_run_ends_with_everything_in_its_folder_and_goes_on_to_the_same_bytes(script: str, tmp_path: Path) -> None:
    result = run(script, *SCRIPTS[script], "--dropout", "0.1", "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} == RESULTS | FIGURES
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["target"] is None
    assert math.isfinite(summary["achieved"])
    before = {name: (tmp_path / "run" / name).read_bytes() for name in RESULTS - {"summary.json"}}
    result = run(script, "--resume", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert {name: (tmp_path / "run" / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_layers_have_names_of_their_own_in_the_figure(script: str, tmp_path: Path) -> None:
    result = run(script, *SCRIPTS[script], "--layers", "2", "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    labels = (tmp_path / "run" / "norms.svg").read_text()
    layers = ["encoder layer 2", "decoder layer 1"] if script == "reverse.py" else ["layer 1", "layer 2"]
    for layer in layers:
        assert f">{layer}<" in labels


@pytest.mark.parametrize(
    ("script", "arguments", "sentence"),
    [
        ("reverse.py", ["--heads", "0"], "--heads must be at least 1, got 0"),
        ("reverse.py", ["--threads", "65"], "--threads 65 is more than --batch 64; each takes a sequence"),
        ("reverse.py", ["--width", "63"], "d_model 63 must be even and a multiple of num_heads 4"),
        ("reverse.py", ["--label-smoothing", "1"], "--label-smoothing must be"),
        ("masked_lm.py", ["--share", "0"], "share must"),
        ("masked_lm.py", ["--text", "nowhere.txt"], "nowhere.txt"),
        ("masked_lm.py", ["--warmup", "2500"], "--warmup must be"),
        ("char_lm.py", ["--model", "llama", "--bias"], "--model llama has no --bias, and heads of an even width"),
        (
            "char_lm.py",
            ["--model", "llama", "--width", "12"],
            "--model llama has no --bias, and heads of an even width",
        ),
    ],
)
def test_bad_options_are_one_sentence(script: str, arguments: list[str], sentence: str, tmp_path: Path) -> None:
    result = run(script, *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert sentence in result.stderr
    assert not any(tmp_path.iterdir())


def test_a_llama_is_trained_sampled_and_no_larger_than_the_gpt(tmp_path: Path) -> None:
    result = run("char_lm.py", *TINY, "--model", "llama", "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    model = load(tmp_path / "run")
    assert type(model).__name__ == "Llama"
    result = run("sample.py", "run", "--tokens", "5", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    from experiments.char_lm import PRESETS, make_model, replace

    config = PRESETS["default"]
    sizes = [make_model(replace(config, model=name), 65).values.size for name in ("gpt", "llama")]
    assert 0.98 * sizes[0] < sizes[1] <= sizes[0]


def test_reversed_is_what_the_decoder_is_taught() -> None:
    sources = reverse.draw(np.random.default_rng(0), 500)
    assert {len(source) for source in sources} == set(range(1, reverse.LONGEST + 1))
    batch = reverse.batch_of(sources[:3])
    for i, source in enumerate(sources[:3]):
        length = len(source)
        assert batch.source[i, :length].tolist() == source.tolist()
        assert batch.target_ids[i, : length + 1].tolist() == [reverse.BEGIN, *source[::-1]]
        assert batch.targets[i, : length + 1].tolist() == [*source[::-1], reverse.END]
    assert reverse.in_letters(np.array([0, 25, reverse.END])) == "az?"


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


def test_the_smoke_run_of_the_masked_model_beats_nothing_yet_but_is_measured_on_hidden_characters(
    tmp_path: Path,
) -> None:
    result = run("masked_lm.py", *SCRIPTS["masked_lm.py"], "--average", "0", "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    model, config = load(tmp_path / "run"), json.loads((tmp_path / "run" / "config.json").read_text())["options"]
    tokenizer = masked_lm.CharacterTokenizer.from_text(pydoc_corpus().text)
    training, validation = map(tokenizer.encode, pydoc_corpus().split())
    options = {"vocabulary_size": tokenizer.vocabulary_size + 1, "mask_id": tokenizer.vocabulary_size}
    batches = fixed_masked_batches(
        validation, config["batch"], config["context"], config["evaluation_batches"], seed=config["seed"], **options
    )
    losses = [float(model.loss(batch.ids, batch.targets)[0]) for batch in batches]
    counts = [batch.num_targets for batch in batches]
    achieved = json.loads((tmp_path / "run" / "summary.json").read_text())["achieved"]
    assert achieved == pytest.approx(np.average(losses, weights=counts), rel=1e-5)
    assert ngram_entropy(training, validation, tokenizer.vocabulary_size, 1) == pytest.approx(3.25, abs=0.02)
