"""A conversation with a model, without input and output."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.generation.continuation import Continuation, Model
from scratchformer.generation.generate import continued
from scratchformer.generation.settings import GenerationSettings
from scratchformer.generation.streaming import stream_text
from scratchformer.layers.cache import KeyValueCache


@runtime_checkable
class ChatTokenizer(Protocol):
    """What a conversation asks of a tokenizer."""

    def chat(self, messages: Sequence[Mapping[str, str]]) -> Sequence[int] | ndarray:
        """The tokens of all messages, up to where the answer begins. A message has a role and a content."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of tokens; see `Decode`."""
        ...


@checked_arguments
class Conversation:
    """Messages of a user and the answers of a model, which sees all of them each time.

    The cache of keys and values is kept from answer to answer. As far as the tokens of the next prompt begin with those
    that the cache holds, they do not go through the model again. Answers are the same as without, but for rounding.

    A prompt and num_tokens of its answer must fit into the context. When they do not, the oldest turns are dropped for
    good, a question with its answer at a time; the system's message stays. `num_dropped` counts the messages.

    Args:
        model: takes a mask, positions and a cache; see `Model`.
        tokenizer: gives the tokens of messages, and the text of tokens.
        settings: how tokens are chosen, and what ends an answer. Its lengths of answers are not used; see `num_tokens`.
        context_length: the longest sequence that the model takes.
        num_tokens: the largest number of tokens of an answer.
        generator: draws the tokens, if the settings say that they are drawn.
        system: the first message, which tells the model how to answer; None for none.

    Raises ValueError for a num_tokens below 1, or a context_length that is not larger.
    """

    messages: list[dict[str, str]]
    """The messages so far, each with a role (`system`, `user` or `assistant`) and a content."""
    num_dropped: int
    """Number of messages that were dropped so far because the context was full."""
    num_reused: int
    """Number of tokens of the last prompt that did not go through the model again."""

    def __init__(
        self,
        model: Model,
        tokenizer: ChatTokenizer,
        settings: GenerationSettings,
        *,
        context_length: int,
        num_tokens: int,
        generator: np.random.Generator,
        system: str | None = None,
    ) -> None:
        if not 1 <= num_tokens < context_length:
            raise ValueError(
                f"Conversation: num_tokens must be from 1 to less than context_length {context_length}, "
                f"got {num_tokens}"
            )
        self._model, self._tokenizer, self._settings = model, tokenizer, settings
        self._context_length, self._num_tokens = context_length, num_tokens
        self._choose = settings.choose(generator)
        self._cache = KeyValueCache(context_length)
        self._in_cache: list[int] = []  # the tokens whose keys and values every layer of the cache holds
        self.messages = [] if system is None else [{"role": "system", "content": system}]
        self.num_dropped = self.num_reused = 0

    @checked_arguments
    def answer(self, message: str) -> Iterator[str]:
        """Yields the answer to a message of the user in pieces; see `stream_text`.

        With the first piece, message and answer join `messages`, and the answer grows by each piece. So an answer that
        was interrupted, by Ctrl-C or by not asking for more, stays there as far as it came. Without a piece the
        conversation is as if the message had not been.

        Raises ValueError if the message is too long for the context, even with all turns before it dropped.
        """
        question = {"role": "user", "content": message}
        ids = self._fitting_prompt(question)
        return self._answer(question, ids)

    def _answer(self, question: dict[str, str], ids: Integer[ndarray, " t"]) -> Iterator[str]:
        reply = {"role": "assistant", "content": ""}
        for piece in stream_text(
            self._tokens(ids),
            self._tokenizer.decode,
            stop=self._settings.eos_token_id,
            stop_strings=self._settings.stop_strings,
        ):
            if not reply["content"]:
                self.messages += [question, reply]
            reply["content"] += piece
            yield piece
        if not reply["content"]:
            self.messages += [question, reply]

    def _fitting_prompt(self, question: dict[str, str]) -> Integer[ndarray, " t"]:
        """The tokens of messages and question, after dropping the turns for which there is no room."""
        kept = list(self.messages)
        num_system = sum(message["role"] == "system" for message in kept[:1])
        while True:
            ids = np.array(self._tokenizer.chat([*kept, question]), np.intp)
            if len(ids) + self._num_tokens <= self._context_length:
                break
            if len(kept) == num_system:
                raise ValueError(
                    f"Conversation: message makes a prompt of {len(ids)} tokens; with {self._num_tokens} of the answer "
                    f"it does not fit into a context of {self._context_length}"
                )
            del kept[num_system : num_system + 2]
        self.num_dropped += len(self.messages) - len(kept)
        self.messages = kept
        return ids

    def _tokens(self, ids: Integer[ndarray, " t"]) -> Iterator[ndarray]:
        """The next tokens. Notes what the cache holds before each, since a step that is interrupted leaves half."""
        same = _length_of_same(self._in_cache, ids)
        # At least one token must go through the model, for the logits of the next.
        self._in_cache = self._in_cache[: min(same, len(ids) - 1)]
        self._cut_cache()
        self.num_reused = len(self._in_cache)
        continuation = Continuation(self._model, ids, None, context_length=self._context_length, cache=self._cache)
        tokens = continued(
            continuation,
            self._num_tokens,
            self._choose,
            np.array(self._settings.eos_token_id, np.intp),
            self._settings.restrictions(),
        )
        passing = ids[self.num_reused :].tolist()
        for token in tokens:
            self._in_cache += passing
            passing = [int(token)]
            yield token

    def _cut_cache(self) -> None:
        """Leaves in the cache what `_in_cache` names; nothing where a layer with a window has lost what came before."""
        try:
            self._cache.truncate(len(self._in_cache))
        except ValueError:
            self._in_cache = []
        if not self._in_cache:
            self._cache = KeyValueCache(self._context_length)


def _length_of_same(one: Sequence[int], other: Integer[ndarray, " t"]) -> int:
    """How many tokens two sequences have in common before they differ."""
    length = min(len(one), len(other))
    differs = np.array(one[:length]) != other[:length]
    return int(differs.argmax()) if differs.any() else length
