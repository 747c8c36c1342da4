"""Talks with a language model. Each line is a message; the answer appears as it comes.

Ctrl-C stops an answer, and once more, at the prompt, it ends the chat; so does Ctrl-D. From a pipe or a file, each line
is read and answered, and the chat ends after the last one.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated

from numpy import ndarray

from scratchformer.commands.decoding import DecodingOptions, Text, Unsaid, describe
from scratchformer.commands.model_files import check_decoder, find_model, load_decoder
from scratchformer.commands.standard_streams import say, stdin_lines, write_text
from scratchformer.generation import Conversation
from scratchformer.pretrained import open_weights
from scratchformer.pretrained.extra import import_extra
from scratchformer.pretrained.load_tokenizer import load_tokenizer
from scratchformer.pretrained.tokenizer import Tokenizer
from scratchformer.runs.command_line import one_sentence_errors, parse
from scratchformer.runs.ranges import Range
from scratchformer.runs.terminal import is_terminal

PROG = "python -m scratchformer chat"
PROMPT = "> "
LONGEST_ANSWER, LARGEST_CONTEXT = 512, 8192
HELP = """/reset   forget what was said so far
/quit    end the chat; so does Ctrl-D
/help    show these lines
Ctrl-C stops an answer. A space before a slash makes the line a message."""


@dataclass(frozen=True)
class Config(DecodingOptions):
    """Options of the chat."""

    system: Annotated[str | None, Text] = None
    """First message, which tells the model how to answer; without it, the model's own if it has one."""
    max_tokens: Annotated[Annotated[int, Range(at_least=1)] | None, Unsaid] = None
    """Largest number of tokens of an answer; without it 512, or half of the context if that is less."""
    context: Annotated[Annotated[int, Range(at_least=2)] | None, Unsaid] = None
    """Number of tokens that the model sees; without it as many as it can, at most 8192. When the messages need more,
    the oldest are dropped."""


class ChatTokens:
    """A model's tokenizer as a conversation needs it. What people type never becomes a special token."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def chat(self, messages: Sequence[Mapping[str, str]]) -> ndarray:
        return self._tokenizer.chat(messages, parse_special=False)

    def decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True)


class Chat:
    """A conversation with the model that the options name. Raises ValueError for what does not fit together."""

    def __init__(self, config: Config) -> None:
        for package in ("tokenizers", "jinja2"):  # before a model is downloaded
            import_extra("chat", package)
        path = find_model(config.model)
        check_decoder(path)
        tokenizer = load_tokenizer(path)
        if not tokenizer.templates:
            raise ValueError(
                f"{path} has no chat template, which says how messages become a prompt; `generate` continues texts"
            )
        self.config, self.tokens = config, ChatTokens(tokenizer)
        beginning = [] if config.system is None else [{"role": "system", "content": config.system}]
        self.tokens.chat([*beginning, {"role": "user", "content": "?"}])  # what fails does so before weights are read
        settings = config.settings(open_weights(path), tokenizer.stop_tokens)
        ends = dict.fromkeys((*settings.eos_token_id, *tokenizer.stop_tokens))
        self.settings = replace(settings, eos_token_id=tuple(ends))
        self.model = load_decoder(path, config.weights)
        limit = self.model.context_length
        if config.context is not None and config.context > limit:
            raise ValueError(f"--context must be at most {limit}, which the model can see, got {config.context}")
        self.context_length = config.context or min(LARGEST_CONTEXT, limit)
        self.num_tokens = config.max_tokens or min(LONGEST_ANSWER, max(1, self.context_length // 2))
        if self.num_tokens >= self.context_length:
            raise ValueError(
                f"--max-tokens must be less than the context of {self.context_length} tokens, got {self.num_tokens}"
            )
        self.reset()

    def reset(self) -> None:
        """Forgets what was said."""
        self.conversation = Conversation(
            self.model,
            self.tokens,
            self.settings,
            context_length=self.context_length,
            num_tokens=self.num_tokens,
            generator=self.config.generator(),
            system=self.config.system,
        )

    def answer(self, message: str) -> None:
        """Prints the answer to a message as it comes. Raises ValueError for a message that is too long."""
        before = self.conversation.num_dropped
        pieces = self.conversation.answer(message)
        if dropped := self.conversation.num_dropped - before:
            say(f"[the context of {self.context_length} tokens is full; dropped: the oldest {dropped} messages]")
        for piece in pieces:
            write_text(piece)
        write_text("\n")


def main(arguments: Sequence[str]) -> None:
    with one_sentence_errors(PROG):
        config = parse({"default": Config()}, prog=PROG, description=__doc__, arguments=arguments)
        config.check()
        chat = Chat(config)
    if is_terminal(sys.stdin):
        say(f"[{describe(chat.settings)}; answers of at most {chat.num_tokens} tokens; /help says more]")
        talk(chat)
    else:
        answer_lines(chat)


def talk(chat: Chat) -> None:
    """Answers what is typed, until the end."""
    with suppress(ImportError):
        import readline  # noqa: F401 makes lines editable

    num_interrupts = 0
    while num_interrupts < 2:
        try:
            message = read_message()
        except EOFError:
            write_text("\n")
            return
        except KeyboardInterrupt:
            num_interrupts += 1
            write_text("\n")
            if num_interrupts == 1:
                say("[Ctrl-C once more ends the chat, as do Ctrl-D and /quit]")
            continue
        num_interrupts = 0
        try:
            if not take(chat, message):
                return
        except KeyboardInterrupt:
            num_interrupts = 1
            write_text("\n")
            say("[stopped]")


def read_message() -> str:
    """The next line that is typed. The prompt is no part of what stdout gives to a file."""
    if is_terminal(sys.stdout):
        return input(PROMPT)
    sys.stderr.write(PROMPT)
    sys.stderr.flush()
    return input()


def answer_lines(chat: Chat) -> None:
    """Answers each line of stdin."""
    for line in stdin_lines():
        if not take(chat, line.rstrip("\r\n")):
            return


def take(chat: Chat, line: str) -> bool:
    """Answers a message, or does what a command says. Returns whether the chat goes on."""
    match line.split():
        case []:
            pass
        case ["/quit"]:
            return False
        case ["/reset"]:
            chat.reset()
            say("[forgotten]")
        case ["/help"]:
            say(HELP)
        case _ if line.startswith("/"):
            say("[there is no such command; /help lists them]")
        case _:
            try:
                chat.answer(line)
            except ValueError as error:
                say(f"[{error}]")
    return True
