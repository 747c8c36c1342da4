import pytest

from scratchformer.runs.terminal import is_terminal


class Stream:
    """Answers whether it is a terminal with what it was given, or raises it."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Flagged:
    isatty = True


@pytest.mark.parametrize("stream", [None, object(), Flagged(), Stream(False), Stream(OSError()), Stream(ValueError())])
def test_a_stream_that_cannot_say_is_no_terminal(stream: object) -> None:
    assert not is_terminal(stream)
    assert is_terminal(Stream(True))
