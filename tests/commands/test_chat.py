import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from scratchformer import __main__ as program
from scratchformer.commands import chat as chat_command
from scratchformer.generation import Conversation, GenerationSettings
from scratchformer.models import Llama
from scratchformer.pretrained.tokenizer import Tokenizer
from tests.annotations import unchecked
from tests.commands.small_models import ENDLESS, encoder, language_model, unwanted


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Llama, Tokenizer]:
    folder = tmp_path_factory.mktemp("small")
    return folder, *language_model(folder, generation=ENDLESS)


def chat(monkeypatch: pytest.MonkeyPatch, typed: str, *arguments: str | Path) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(typed))
    with unchecked():
        chat_command.main([*map(str, arguments)])


def talk_with(small: tuple[Path, Llama, Tokenizer], seed: int, **changes: object) -> Conversation:
    """The same conversation by the library."""
    _, model, tokenizer = small
    settings = GenerationSettings(**{"suppress_tokens": unwanted(), "eos_token_id": (601,), **changes})
    generator = np.random.default_rng(seed)
    tokens = chat_command.ChatTokens(tokenizer)
    return Conversation(model, tokens, settings, context_length=300, num_tokens=8, generator=generator)


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ([], {}),
        (["--temperature", "1.5", "--top-k", "9"], {"do_sample": True, "temperature": 1.5, "top_k": 9}),
        (["--min-p", "0.1", "--top-p", "0.9"], {"do_sample": True, "min_p": 0.1, "top_p": 0.9, "top_k": 50}),
        (["--temperature", "0", "--repetition-penalty", "1.3"], {"repetition_penalty": 1.3}),
        (["--stop", "h", "--stop", "an"], {"stop_strings": ("h", "an")}),
        (["--no-model-settings"], {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "suppress_tokens": ()}),
    ],
)
def test_lines_from_a_pipe_are_answered_as_the_library_does(
    small: tuple[Path, Llama, Tokenizer],
    options: list[str],
    changes: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chat(monkeypatch, "hello\n\n  /x\nthe\r\n", small[0], "--max-tokens", "8", "--seed", "3", *options)
    with unchecked():
        talk = talk_with(small, 3, **changes)
        expected = ["".join(talk.answer(message)) + "\n" for message in ("hello", "  /x", "the")]
    assert capsys.readouterr() == ("".join(expected), "")


def test_a_system_message_comes_first_and_special_tokens_that_are_typed_are_text(
    small: tuple[Path, Llama, Tokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(self: chat_command.Chat, message: str) -> None:
        asked.append(self.tokens.chat([*self.conversation.messages, {"role": "user", "content": message}]))

    monkeypatch.setattr(chat_command.Chat, "answer", answer)
    chat(monkeypatch, "<|im_end|>\n", small[0], "--system", "be kind")
    tokenizer = small[2]
    assert (asked[0] == 601).sum() == 2  # each message ends once
    assert tokenizer.decode(asked[0]).startswith("<|im_start|>system\nbe kind<|im_end|>")


def test_what_no_longer_fits_is_dropped_and_said(
    small: tuple[Path, Llama, Tokenizer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat(monkeypatch, f"one\ntwo\nthree\n{'long ' * 50}\n", small[0], "--max-tokens", "8", "--context", "50")
    out, err = capsys.readouterr()
    assert "[the context of 50 tokens is full; dropped: the oldest 2 messages]" in err
    assert "Conversation: message makes a prompt of" in err
    assert out.count("\n") >= 2


def test_commands_within_the_chat(
    small: tuple[Path, Llama, Tokenizer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = "hello\n/reset\nhello\n/help\n/nothing\n/quit\nnever\n"
    chat(monkeypatch, typed, small[0], "--max-tokens", "8", "--system", "be kind")
    out, err = capsys.readouterr()
    assert len(out) % 2 == 0
    assert out[: len(out) // 2] == out[len(out) // 2 :]
    assert err.splitlines() == [
        "[forgotten]",
        *chat_command.HELP.splitlines(),
        "[there is no such command; /help lists them]",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--greedy", "--top-k", "3"], "--greedy takes the likeliest token, so --top-k would have no effect"),
        (["--temperature", "-1"], "--temperature must be at least 0, got -1.0"),
        (["--top-p", "0"], "--top-p must be above 0, got 0.0"),
        (["--stop", ""], "--stop must not be empty"),
        (["--context", "301"], "--context must be at most 300, which the model can see, got 301"),
        (["--max-tokens", "300"], "--max-tokens must be less than the context of 300 tokens, got 300"),
        (["--temprature", "1"], "unknown option --temprature; did you mean --temperature?"),
    ],
)
def test_bad_options_get_one_sentence(
    small: tuple[Path, Llama, Tokenizer],
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        chat(monkeypatch, "", small[0], *arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"python -m scratchformer chat: error: {message}\n"


def test_models_that_cannot_talk_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder(tmp_path / "encoder")
    language_model(tmp_path / "beams")
    language_model(tmp_path / "base")
    told = json.loads((tmp_path / "base" / "tokenizer_config.json").read_text())
    (tmp_path / "base" / "tokenizer_config.json").write_text(json.dumps(told | {"chat_template": None}))
    (tmp_path / "beams" / "generation_config.json").write_text('{"num_beams": 4}')
    for name, message in [
        ("encoder", "holds an encoder, BERT, which continues no text; see `embed`"),
        ("base", "base has no chat template, which says how messages become a prompt; `generate` continues texts"),
        ("beams", "num_beams must be null or 1, got 4: decoding has no more; --no-model-settings leaves out what"),
        ("absent", "absent: there is no such file or folder; by name there are smollm2 and minilm"),
    ]:
        with pytest.raises(SystemExit) as ended:
            chat(monkeypatch, "", tmp_path / name)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err


IN_OWN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Makes stdin the terminal whose Ctrl-C the process gets, and becomes another program."""


class Terminal:
    """A chat in a terminal of its own."""

    def __init__(self, *arguments: str | Path) -> None:
        self.descriptor, inner = pty.openpty()
        command = [sys.executable, "-c", IN_OWN_TERMINAL, "-m", "scratchformer", "chat", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, start_new_session=True)
        os.close(inner)
        self.shown = ""

    def wait_for(self, pattern: str) -> None:
        """Reads on until the pattern is found in what is new."""
        new, end = "", time.monotonic() + 60
        while not re.search(pattern, new):
            assert time.monotonic() < end, (pattern, self.shown)
            if select.select([self.descriptor], [], [], 1)[0]:
                new += os.read(self.descriptor, 4096).decode(errors="replace")
        self.shown += new

    def type(self, text: str) -> None:
        time.sleep(0.2)  # Python's input misses a Ctrl-C that comes while it sets up the line
        os.write(self.descriptor, text.encode())

    def end(self, keys: str) -> int:
        """Types keys that end the chat, and returns its status. A Ctrl-C that came too early is typed once more."""
        for _ in range(20):
            self.type(keys)
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(3)
        raise AssertionError(self.shown)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    language_model(tmp_path, context_length=50_000, generation=ENDLESS)
    opened = Terminal(tmp_path, "--context", "50000", "--max-tokens", "40000")
    yield opened
    opened.process.kill()
    opened.process.wait()
    os.close(opened.descriptor)


@pytest.mark.parametrize("end", ["\x03", pytest.param("\x04", marks=pytest.mark.long)])
def test_ctrl_c_stops_an_answer_and_then_the_chat(terminal: Terminal, end: str) -> None:
    terminal.wait_for("/help says more.*\n> ")
    for _ in range(2):
        terminal.type("hello\n")
        terminal.wait_for(r"hello\r\n[\s\S]{20}")
        terminal.type("\x03")
        terminal.wait_for(r"\[stopped\]\r\n> ")
    assert terminal.end(end) == 0
    assert "Traceback" not in terminal.shown


def test_ctrl_c_at_the_prompt_asks_once(terminal: Terminal) -> None:
    terminal.wait_for("> ")
    terminal.type("\x03")
    terminal.wait_for(r"\[Ctrl-C once more ends the chat, as do Ctrl-D and /quit\]\r\n> ")
    assert terminal.end("\x03") == 0


def test_missing_packages_of_the_extra_are_named(small: tuple[Path, Llama, Tokenizer]) -> None:
    code = f"""
import sys
sys.modules["jinja2"] = None
from scratchformer.commands import chat
chat.main([{str(small[0])!r}])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert found.returncode == 2
    assert found.stderr == (
        "python -m scratchformer chat: error: chat needs jinja2: pip install 'scratchformer[pretrained]'\n"
    )


def test_it_is_a_command_of_the_package(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["chat", "--help"])
    assert ended.value.code == 0
    assert "smollm2, which is downloaded when it is not" in " ".join(capsys.readouterr().out.split())
