import hashlib
from dataclasses import dataclass
from pathlib import Path

LONGEST_REPEATED = 60


@dataclass(frozen=True)
class Corpus:
    """A text with a name, and with a hash that says whether two runs learned from the same one."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Of the text's UTF-8 bytes, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

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

    Topics in sorted order; of paragraphs of more than 60 characters only the first copy is kept, so that what is
    learned by heart from the beginning does not turn up again at the end. About 378,000 characters on Python 3.11;
    the text differs between versions of Python.

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


def read_corpus(path: Path) -> Corpus:
    """The text of a UTF-8 file, named after it.

    Raises ValueError for a file that cannot be read, is empty or is not UTF-8.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ValueError(f"text file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"text file {path} is not UTF-8: byte {error.object[error.start]:#04x} at offset {error.start}"
        ) from None
    if not text:
        raise ValueError(f"text file {path} is empty")
    return Corpus(path.name, text)
