from pathlib import Path
from typing import Any

import pytest

from scratchformer.pretrained.stored_settings import PREFIX, stored_settings
from scratchformer.pretrained.tensors import TensorFile
from tests.pretrained.small_tokenizers import write_folder


def gguf(**said: Any) -> TensorFile:
    return TensorFile(Path("m.gguf"), "gguf", {f"{PREFIX}{name}": value for name, value in said.items()}, {}, ())


def test_names_of_gguf_become_those_of_generation_config() -> None:
    assert stored_settings(gguf()) == {}
    assert stored_settings(gguf(mirostat=0, xtc_threshold=0.1)) == {}
    said = gguf(temp=0.5, top_p=0.9, min_p=0.1, penalty_repeat=1.1, penalty_last_n=-1)
    expected = {"do_sample": True, "temperature": 0.5, "top_k": 0, "top_p": 0.9, "min_p": 0.1}
    assert stored_settings(said) == expected | {"repetition_penalty": 1.1}
    assert stored_settings(gguf(temp=0, top_k=3)) == {"do_sample": False, "temperature": 0, "top_k": 3}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"mirostat": 2}, "m.gguf: general.sampling.mirostat is 2, expected 0: decoding has no more"),
        ({"sequence": "k;p"}, "m.gguf: general.sampling.sequence is no known name, got 'k;p'"),
    ],
)
def test_what_decoding_has_not_is_refused_by_name(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        stored_settings(gguf(**said))


def test_a_folder_says_it_in_generation_config_or_the_end_of_texts_in_config(tmp_path: Path) -> None:
    weights = TensorFile(tmp_path, "safetensors", {}, {}, ())
    assert stored_settings(weights) == {}
    write_folder(tmp_path, {"config.json": {"eos_token_id": [3, 4], "top_k": 9}})
    assert stored_settings(weights) == {"eos_token_id": [3, 4]}
    write_folder(tmp_path, {"generation_config.json": {"top_p": 0.5}})
    assert stored_settings(weights) == {"top_p": 0.5}
