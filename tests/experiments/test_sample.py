import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchformer.generation import generate, greedy
from scratchformer.recipes.sampling import load_model
from scratchformer.training import load, load_tokenizer, model_checkpoint, write_checkpoint
from tests.experiments.running import EXPERIMENTS, TINY, refusal, run
from tests.training.setting import tiny_gpt


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    assert run("char_lm.py", *TINY, "--no-figures", "--out", "run", cwd=folder).returncode == 0
    return folder / "run"


@pytest.mark.parametrize("likeliest", [("--temperature", "0"), ("--top-k", "1", "--seed", "3")])
def test_the_prompt_is_continued_by_the_best_model(likeliest: tuple[str, ...], trained: Path) -> None:
    result = run("sample.py", "run", "--prompt", "The", "--tokens", "20", *likeliest, cwd=trained.parent)
    assert result.returncode == 0, result.stderr
    model, tokenizer = load_model(trained)
    ids = list(generate(load(trained), tokenizer.encode("The"), 20, context_length=64, choose=greedy))
    assert result.stdout == "The" + tokenizer.decode(np.array(ids)) + "\n"
    assert load_tokenizer(trained) == load_tokenizer(trained / "last.safetensors") == tokenizer


def test_a_seed_repeats_and_another_one_differs(trained: Path) -> None:
    texts = [
        run("sample.py", "run/last.safetensors", "--tokens", "50", "--seed", seed, cwd=trained.parent).stdout
        for seed in ("1", "1", "2")
    ]
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0]) == 50 + len("\n")


def test_text_is_streamed_and_a_closed_pipe_is_no_error(trained: Path) -> None:
    command = [sys.executable, EXPERIMENTS / "sample.py", trained, "--prompt", "The", "--tokens", "1000000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 3) == b"The"
    assert len(os.read(process.stdout.fileno(), 1)) == 1  # long before all is sampled
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing"], "checkpoint missing cannot be read: No such file or directory"),
        (
            ["run", "--prompt", "a\u4e2d"],
            "CharacterTokenizer: text holds '\u4e2d' at position 1, which is not in the vocabulary of 103 characters",
        ),
        (["run", "--tokens", "-1"], "--tokens must be at least 0, got -1"),
        (["run", "--temperature", "-1"], "--temperature must be at least 0, got -1.0"),
        (["run", "--top-k", "0"], "--top-k must be at least 1, got 0"),
        (["run", "--promt", "a"], "unknown option --promt; did you mean --prompt?"),
        (["."], "the folder . holds no checkpoint"),
        (["run/config.json"], "run/config.json is not a checkpoint of scratchformer, or its beginning is damaged"),
        (["other.safetensors"], "load_tokenizer: other.safetensors is not of a character model"),
    ],
)
def test_bad_input_is_one_clear_sentence(arguments: list[str], said: str, trained: Path) -> None:
    write_checkpoint(trained.parent / "other.safetensors", model_checkpoint(tiny_gpt()))
    assert refusal("sample.py", *arguments, cwd=trained.parent) == said


@pytest.mark.parametrize("run", ["tokenizer", {"tokenizer": "abcdefg"}, {"tokenizer": {"characters": "ab"}}, [], None])
def test_a_tokenizer_that_is_not_the_model_s_is_one_clear_sentence(run: object, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", model_checkpoint(tiny_gpt(), run=run))
    assert refusal("sample.py", "a", cwd=tmp_path) in (
        "load_tokenizer: a is not of a character model",
        "load_tokenizer: a is damaged: its tokenizer is not one of distinct characters",
        "a is damaged: its tokenizer has 2 characters, not 7",
    )
