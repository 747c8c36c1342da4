"""Chat templates: Jinja programs, from strangers, that write a conversation as a model was trained to read it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from scratchformer.pretrained.extra import import_extra

MOST_CHARACTERS_OF_TEMPLATE = 2**18
KEYS = {"role", "content"}


def check_messages(function: str, messages: Sequence[Mapping[str, str]]) -> None:
    """Raises TypeError or ValueError unless there are messages, each with a role and a content that are strings."""
    if isinstance(messages, str | Mapping) or not isinstance(messages, Sequence):
        raise TypeError(f"{function}: messages must be a list of messages, got {type(messages).__name__}")
    if not messages:
        raise ValueError(f"{function}: messages must hold at least one message, got none")
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise TypeError(f"{function}: messages[{i}] must be a mapping, got {type(message).__name__}")
        if set(message) != KEYS:
            raise ValueError(f"{function}: messages[{i}] must have the keys role and content, got {sorted(message)}")
        for key, value in message.items():
            if not isinstance(value, str):
                raise TypeError(f"{function}: messages[{i}][{key!r}] must be a string, got {type(value).__name__}")


def render(source: str, variables: Mapping[str, Any]) -> str:
    """What a chat template makes of the variables.

    The template sees what it sees in transformers: `trim_blocks`, `lstrip_blocks`, `break` and `continue`, the tag
    `generation`, the functions `raise_exception` and `strftime_now`, and a filter `tojson` that escapes nothing. It
    runs in Jinja's sandbox with the limits of `template_limits`.

    Raises ValueError when the template is no Jinja, fails, refuses the conversation, or does more than it may.

    Source of the options: `apply_chat_template` of transformers.
    """
    import_extra("chat", "jinja2")
    from scratchformer.pretrained.template_limits import BoundedEnvironment  # imports jinja2

    if len(source) > MOST_CHARACTERS_OF_TEMPLATE:
        raise ValueError(
            f"chat: the template has {len(source)} characters, expected at most {MOST_CHARACTERS_OF_TEMPLATE}"
        )
    environment = BoundedEnvironment()
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
    try:
        return environment.run(source, {"tools": None, "documents": None, **variables})
    except RefusedError as error:
        raise ValueError(f"chat: the template refuses the messages: {error}") from None
    except RecursionError:
        raise ValueError("chat: the template failed: it is nested too deeply") from None
    except MemoryError:
        raise ValueError("chat: the template failed: it needs too much memory") from None
    except Exception as error:  # a template is a program, and can raise anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ValueError(f"chat: the template failed: {reason}") from None


class RefusedError(Exception):
    """A template called `raise_exception`."""


def _refuse(message: object = "") -> None:
    raise RefusedError(" ".join(str(message).split())[:300])


def _now(layout: str) -> str:
    return datetime.now().strftime(layout)
