"""Texts to learn from."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from scratchformer.arguments import checked_arguments
from scratchformer.reading import read_utf8

BYTE_ORDER_MARK = "\ufeff"
"""What some editors write before a text; it is no part of the text."""
LONGEST_REPEATED = 60
"""Characters of a paragraph that may come twice."""


@checked_arguments
@dataclass(frozen=True)
class Corpus:
    """A text with a name. Its hash tells whether two runs learned from the same text."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the text's UTF-8 bytes, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @checked_arguments
    def split(self, validation_share: float = 0.1) -> tuple[str, str]:
        """The text's beginning to train on, and its end to validate on.

        Raises ValueError for a share outside (0, 1).
        """
        if not 0 < validation_share < 1:
            raise ValueError(f"Corpus: validation_share must lie in (0, 1), got {validation_share}")
        border = int(len(self.text) * (1 - validation_share))
        return self.text[:border], self.text[border:]


def pydoc_corpus() -> Corpus:
    """English that every Python installation has: the language reference that `help()` shows.

    Topics come in sorted order. A paragraph of more than 60 characters is kept only once, so that a model cannot learn
    by heart at the beginning what it is tested on at the end. The text has about 378,000 characters in Python 3.11, and
    differs between versions of Python.

    Raises ValueError where Python was installed without it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise ValueError("this Python was installed without pydoc_data; choose a text file instead") from None
    seen: set[str] = set()
    paragraphs = []
    for topic in sorted(topics):
        for paragraph in topics[topic].split("\n\n"):
            content = paragraph.strip()
            if content in seen:
                continue
            if len(content) > LONGEST_REPEATED:
                seen.add(content)
            paragraphs.append(paragraph)
    return Corpus("pydoc", "\n\n".join(paragraphs))


@checked_arguments
def read_corpus(path: Path) -> Corpus:
    """The text of a UTF-8 file, without a byte order mark, named after the file.

    Raises ValueError for a file that cannot be read, is empty, is not UTF-8 or holds a zero byte.
    """
    text = read_utf8(path, f"text file {path}").removeprefix(BYTE_ORDER_MARK)
    if not text:
        raise ValueError(f"text file {path} is empty")
    return Corpus(shown_name(path), text)


def shown_name(path: Path) -> str:
    """The last part of a path, for titles and messages. Bytes that are not UTF-8 become the replacement character."""
    return os.fsencode(path.name).decode(errors="replace")
