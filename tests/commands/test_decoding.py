import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchformer.commands.decoding import DecodingOptions
from scratchformer.pretrained.tensors import TensorFile

DRAWN = {"do_sample": True, "temperature": 2.0, "top_k": 7, "stop_strings": "a", "repetition_penalty": 1.1}


@pytest.mark.parametrize(
    ("options", "stored", "expected"),
    [
        ({}, {}, {"do_sample": True, "temperature": 0.7, "top_k": 0, "top_p": 0.9, "eos_token_id": (5,)}),
        ({}, DRAWN, DRAWN | {"stop_strings": ("a",)}),
        ({"temperature": 0.5, "min_p": 0.25}, DRAWN, {"temperature": 0.5, "min_p": 0.25, "top_k": 7}),
        ({"top_p": 0.5}, {"do_sample": False}, {"do_sample": True, "top_p": 0.5, "top_k": 50}),
        ({"temperature": 0.0}, DRAWN, {"do_sample": False}),
        ({"greedy": True}, DRAWN, {"do_sample": False}),
        ({"repetition_penalty": 1.5}, DRAWN, {"repetition_penalty": 1.5, "temperature": 2.0}),
        ({"stop": ("b", "c")}, DRAWN, {"stop_strings": ("a", "b", "c")}),
        ({"stop": ("b",)}, {"stop_strings": ["a", "d"]}, {"stop_strings": ("a", "d", "b")}),
        ({"stop": ("b",)}, {}, {"stop_strings": ("b",)}),
        ({"model_settings": False}, DRAWN, {"temperature": 0.7, "stop_strings": (), "repetition_penalty": 1.0}),
    ],
)
def test_an_option_comes_before_what_the_files_say_and_texts_that_end_an_answer_are_added(
    options: dict[str, Any], stored: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(stored))
    settings = DecodingOptions(**options).settings(TensorFile(tmp_path, "safetensors", {}, {}, ()), eos=(5,))
    assert {name: getattr(settings, name) for name in expected} == expected


def test_the_seed_decides_what_is_drawn() -> None:
    drawn = [DecodingOptions(seed=seed).generator().random() for seed in (0, 3, 3)]
    assert drawn[0] != drawn[1] == drawn[2] == np.random.default_rng(3).random()
