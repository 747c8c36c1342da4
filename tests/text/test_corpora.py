import os
import sys
from pathlib import Path

import pytest

from scratchformer.text import Corpus, pydoc_corpus, read_corpus


def test_the_embedded_corpus_is_long_and_keeps_no_long_paragraph_twice() -> None:
    corpus = pydoc_corpus()
    paragraphs = [paragraph.strip() for paragraph in corpus.text.split("\n\n")]
    long = [paragraph for paragraph in paragraphs if len(paragraph) > 60]
    assert len(corpus.text) > 300_000
    assert len(long) == len(set(long))
    assert corpus.text == pydoc_corpus().text


@pytest.mark.skipif(sys.version_info[:3] != (3, 11, 7), reason="the text differs between versions of Python")
def test_the_embedded_corpus_is_known_by_its_length_on_one_version() -> None:
    assert len(pydoc_corpus().text) == 378_490


def test_the_split_keeps_the_last_share_for_validation() -> None:
    training, validation = Corpus("letters", "abcdefghijklmnopqrst").split(0.1)
    assert training == "abcdefghijklmnopqr"
    assert validation == "st"


def test_the_hash_is_that_of_the_utf8_bytes() -> None:
    assert Corpus("abc", "abc").sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("über\r\nalles\n".encode())
    corpus = read_corpus(path)
    assert (corpus.name, corpus.text) == ("text.txt", "über\r\nalles\n")


def test_the_mark_of_the_encoding_is_no_part_of_a_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    path.write_bytes(b"\xef\xbb\xbfone\n\xef\xbb\xbftwo")
    assert read_corpus(path) == Corpus("caf\ufffd.txt", "one\n\ufefftwo")
    path.write_bytes(b"\xef\xbb\xbf\xfc")
    with pytest.raises(ValueError, match=r"is not UTF-8: byte 0xfc at offset 3"):
        read_corpus(path)
    path.write_bytes(b"\xef\xbb\xbf")
    with pytest.raises(ValueError, match="is empty"):
        read_corpus(path)


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing\.txt cannot be read: No such file"):
        read_corpus(tmp_path / "missing.txt")
    with pytest.raises(ValueError, match="cannot be read: it is not a file"):
        read_corpus(tmp_path)
    with pytest.raises(ValueError, match=r"^'text file a\\x00b' cannot be read: no name of a file holds a zero byte$"):
        read_corpus(Path("a\0b"))
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ValueError, match=r"empty\.txt is empty"):
        read_corpus(tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes(b"abc\xfcd")
    with pytest.raises(ValueError, match=r"latin\.txt is not UTF-8: byte 0xfc at offset 3"):
        read_corpus(tmp_path / "latin.txt")
    with pytest.raises(ValueError, match=r"validation_share must lie in \(0, 1\), got 1"):
        Corpus("abc", "abc").split(1.0)
