import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.pretrained.json_files import read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(content=st.dictionaries(st.text(), VALUES, max_size=4), escaped=st.booleans())
def test_an_object_is_read(content: dict, escaped: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("json") / "config.json"
    text = json.dumps(content, ensure_ascii=escaped)
    path.write_bytes(text.encode(errors="surrogatepass" if escaped else "strict"))
    assert read_json(path) == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1]", "expected a JSON object, got a list"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "expected JSON: the name 'c' comes twice"),
        (b'{"a": NaN}', "expected JSON: NaN is no number of JSON"),
        (b'{"a": -Infinity}', "expected JSON: -Infinity is no number of JSON"),
        (b'{"a": 1e999}', "expected JSON: the number 1e999 does not fit into float64"),
        (b'{"a": ' + b"1" * 5000 + b"}", "expected JSON: Exceeds the limit"),
        (b'{"a": "\xff"}', "expected UTF-8, got byte 0xff at offset 7"),
        ('{"a": 1}'.encode("utf-16"), "expected UTF-8, got byte 0xff at offset 0"),
        (b'{"a": ' + b"[" * 100_000, "its lists and objects lie too deep in each other"),
        (b'{"a": 1', "expected JSON: Expecting ',' delimiter"),
    ],
)
def test_what_is_no_object_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"config\.json is damaged: {message}"):
        read_json(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{" + " " * 100 + "}")
    assert read_json(path, most_bytes=102) == {}
    with pytest.raises(ValueError, match=r"config\.json has 102 bytes, expected JSON of at most 101"):
        read_json(path, most_bytes=101)
