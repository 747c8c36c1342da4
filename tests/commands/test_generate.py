import json
import os
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from scratchformer.commands import generate as generate_command
from scratchformer.generation import Sampling, SuppressedTokens, generate, greedy
from scratchformer.models import Llama
from scratchformer.pretrained import load
from scratchformer.pretrained.loading import Weights
from scratchformer.pretrained.tokenizer import Tokenizer
from tests.annotations import unchecked
from tests.commands.small_models import ENDLESS, encoder, language_model, unwanted

PROMPTS = ["the quick", "日本", "user: text and more words"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Llama, Tokenizer]:
    folder = tmp_path_factory.mktemp("small")
    return folder, *language_model(folder, generation=ENDLESS)


def run(*arguments: str | Path) -> None:
    with unchecked():
        generate_command.main([*map(str, arguments)])


def continued(small: tuple[Path, Llama, Tokenizer], prompt: str, num_tokens: int, choose=greedy) -> str:
    """Prompt and continuation by the library."""
    _, model, tokenizer = small
    ids = tokenizer.encode(prompt)
    with unchecked():
        rules = [SuppressedTokens(unwanted())]
        tokens = [*generate(model, ids, num_tokens, context_length=300, choose=choose, restrict=rules)]
    return tokenizer.decode([*ids.tolist(), *map(int, tokens)], skip_special_tokens=True)


def test_one_prompt_is_continued_as_the_library_does(
    small: tuple[Path, Llama, Tokenizer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for prompt in PROMPTS:
        run(small[0], "--prompt", prompt, "--num-tokens", "12")
        assert capsys.readouterr() == (continued(small, prompt, 12) + "\n", "")
    run(small[0], "--prompt", "the", "--num-tokens", "12", "--temperature", "0.5", "--top-k", "7", "--seed", "2")
    choose = Sampling(np.random.default_rng(2), 0.5, 7)
    assert capsys.readouterr().out == continued(small, "the", 12, choose) + "\n"
    monkeypatch.setattr(sys, "stdin", StringIO("the\nquick\n"))
    run(small[0], "--num-tokens", "12")
    assert capsys.readouterr().out == continued(small, "the\nquick", 12) + "\n"


def test_several_prompts_are_continued_as_if_each_were_alone(
    small: tuple[Path, Llama, Tokenizer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = [continued(small, prompt, 12) for prompt in PROMPTS]
    monkeypatch.setattr(sys, "stdin", StringIO(PROMPTS[2]))
    options = [word for prompt in (*PROMPTS[:2], "-") for word in ("--prompt", prompt)]
    run(small[0], *options, "--num-tokens", "12")
    shown = "".join(f"=== {i} of 3\n{text}\n" for i, text in enumerate(expected, start=1))
    assert capsys.readouterr().out == shown
    monkeypatch.setattr(sys, "stdin", StringIO(PROMPTS[2]))
    run(small[0], *options, "--num-tokens", "12", "--json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["prompt"] + line["text"] for line in lines] == expected


def test_stop_strings_end_each_text_and_are_left_out(
    small: tuple[Path, Llama, Tokenizer], capsys: pytest.CaptureFixture[str]
) -> None:
    options = [word for prompt in PROMPTS for word in ("--prompt", prompt)]
    run(small[0], *options, "--num-tokens", "40", "--json")
    free = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    stops = [text[len(text) // 2] for text in free]
    run(small[0], *options, "--num-tokens", "40", "--json", *(word for stop in stops for word in ("--stop", stop)))
    stopped = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert stopped == [text[: min(text.find(stop) for stop in stops if stop in text)] for text in free]


@pytest.mark.parametrize("weights", ["bfloat16", "file"])
def test_weights_of_fewer_bits_give_what_the_library_gives(
    small: tuple[Path, Llama, Tokenizer], weights: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _, tokenizer = small
    rounded = folder, load(folder, weights=weights), tokenizer
    run(folder, "--prompt", PROMPTS[0], "--num-tokens", "9", "--weights", weights)
    assert capsys.readouterr().out == continued(rounded, PROMPTS[0], 9) + "\n"  # type: ignore[arg-type]


def test_as_many_tokens_are_added_as_the_files_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = tmp_path, *language_model(tmp_path, generation=ENDLESS | {"max_new_tokens": 5})
    run(tmp_path, "--prompt", "the")
    assert capsys.readouterr().out == continued(small, "the", 5) + "\n"


def test_texts_beyond_the_context_are_announced(
    small: tuple[Path, Llama, Tokenizer], capsys: pytest.CaptureFixture[str]
) -> None:
    run(small[0], "--prompt", "the " * 150, "--num-tokens", "160")
    assert capsys.readouterr().err == "[the context has 300 tokens; of longer texts the model sees the last ones]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", "-", "--prompt", "-"], "--prompt - reads all of stdin, and can be given once"),
        (["--num-tokens", "0", "--prompt", "a"], "--num-tokens must be at least 1, got 0"),
    ],
)
def test_bad_options_get_one_sentence(
    small: tuple[Path, Llama, Tokenizer], arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(small[0], *arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"python -m scratchformer generate: error: {message}\n"


def test_an_encoder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, "--prompt", "the")
    assert ended.value.code == 2
    assert f"{tmp_path} holds an encoder, BERT, which continues no text; see `embed`" in capsys.readouterr().err


def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    language_model(tmp_path, context_length=50_000, generation=ENDLESS)
    command = [
        sys.executable,
        "-m",
        "scratchformer",
        "generate",
        str(tmp_path),
        "--prompt",
        "the",
        "--num-tokens",
        "40000",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        os.read(process.stdout.fileno(), 3)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")
    assert out.endswith(b"\n")
