import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from scratchformer.pretrained import load, load_tokenizer, open_weights
from tests.pretrained.files import gguf, info

GGUF = gguf([], [info("a", (2,), 0, 0)], np.ones(2, "<f4").tobytes())
WEIGHTS = save({"a": np.ones(2, np.float32)})
INDEX = b'{"weight_map": {"a": "model-00001-of-00001.safetensors"}}'


def folder(path: Path, **contents: bytes) -> Path:
    """A folder with files; in their names, a double underscore stands for a full stop."""
    for name, content in contents.items():
        (path / name.replace("__", ".")).write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("contents", "opened"),
    [
        ({"any__gguf": GGUF, "README__md": b"", "tokenizer__json": b"{}"}, ("", "any.gguf", "gguf")),
        ({"blob": GGUF}, ("blob", "blob", "gguf")),
        ({"model__safetensors": WEIGHTS, "pytorch_model__bin": b""}, ("", "model.safetensors", "safetensors")),
        ({"other__safetensors": WEIGHTS}, ("other.safetensors", "other.safetensors", "safetensors")),
    ],
)
def test_a_path_leads_to_its_weights(contents: dict[str, bytes], opened: tuple[str, str, str], tmp_path: Path) -> None:
    given, path, kind = opened
    file = open_weights(folder(tmp_path, **contents) / given)
    assert (file.path, file.format) == (tmp_path / path, kind)
    np.testing.assert_array_equal(file.tensors["a"].read(), [1, 1])


def test_a_folder_with_an_index_leads_to_its_shards(tmp_path: Path) -> None:
    folder(tmp_path, model__safetensors__index__json=INDEX)
    (tmp_path / "model-00001-of-00001.safetensors").write_bytes(WEIGHTS)
    assert list(open_weights(tmp_path).tensors) == ["a"]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"a__gguf": GGUF, "b__gguf": GGUF}, r"holds weights more than once, .* of one file: a\.gguf, b\.gguf$"),
        ({"a__gguf": GGUF, "model__safetensors": WEIGHTS}, r"of one file: a\.gguf, model\.safetensors$"),
        ({"model__safetensors__index__json": INDEX, "model__safetensors": WEIGHTS}, r"index\.json$"),
        ({}, r"holds no weights: expected model\.safetensors, .* or a GGUF file, got an empty folder"),
        ({"adapter_model__safetensors": b"", "x__txt": b""}, r"got adapter_model\.safetensors, x\.txt"),
        ({f"f{i}": b"" for i in range(12)}, "got f0, f1, f10, f11, f2, f3, f4, f5 and 4 more"),
    ],
)
def test_a_folder_with_none_or_several_is_refused(contents: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        open_weights(folder(tmp_path, **contents))


class Bomb:
    """Runs a program when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "model.pth", "last.ckpt", "weights", "model.safetensors", "model.gguf"]
)
def test_a_pickle_is_refused_and_never_run(name: str, tmp_path: Path) -> None:
    path = tmp_path / "folder" / name
    path.parent.mkdir()
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "run")))
    message = "damaged or no" if name.endswith(("safetensors", "gguf")) else "is a pickle, .* convert it"
    for given in (path, path.parent) if name != "weights" else (path,):
        with pytest.raises(ValueError, match=message):
            open_weights(given)
    assert not (tmp_path / "run").exists()


def test_another_file_is_named_with_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match=r"config\.json holds no weights: expected .*, it begins with b'{\"a\"'"):
        open_weights(tmp_path / "config.json")


@pytest.mark.parametrize("read", [load, load_tokenizer, open_weights])
@pytest.mark.parametrize("name", ["missing", "HuggingFaceTB/SmolLM2-135M", "long" * 100, "a\0b"])
def test_names_of_hubs_are_no_paths_and_the_names_that_exist_are_said(read: Callable[[str], object], name: str) -> None:
    with pytest.raises(ValueError, match=r"there is no such file or folder; by name, `get` brings smollm2 and minilm$"):
        read(name)
