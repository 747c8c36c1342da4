"""The memory that is said before weights are read is the memory that they take."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings

from scratchformer.layers import Layer, Parameter
from scratchformer.pretrained import load, save
from scratchformer.pretrained.loading import Weights, open_model
from scratchformer.pretrained.memory import weight_bytes
from scratchformer.pretrained.saving import stored_tensors
from scratchformer.pretrained.stored_matrix import StoredMatrix
from tests.pretrained.small_models import CONFIGS, family_of, gguf_metadata, in_gguf, model_of, random_model, write_gguf
from tests.pretrained.test_stored_weights import CONFIG
from tests.strategies import seeds


def stores(thing: Any) -> Iterator[StoredMatrix | Parameter]:
    """The matrices and parameters of a layer and of all layers in it. A tied head gives its table again."""
    if isinstance(thing, StoredMatrix | Parameter):
        yield thing
    elif isinstance(thing, Layer | list):
        for part in vars(thing).values() if isinstance(thing, Layer) else thing:
            yield from stores(part)


def held(path: Path, weights: Weights) -> int:
    """Bytes of the weights of a loaded model."""
    found = {id(store): store for store in stores(load(path, weights=weights))}
    return sum(one.nbytes if isinstance(one, StoredMatrix) else one.value.nbytes for one in found.values())


@pytest.mark.parametrize("name", [*CONFIGS])
@settings(max_examples=3)
@given(seed=seeds)
def test_a_folder_takes_what_is_said(name: str, seed: int, tmp_path_factory: pytest.TempPathFactory):
    folder = save(random_model(name, seed), tmp_path_factory.mktemp("model"))
    said = weight_bytes(open_model(folder))
    assert "wide" in said
    for form in get_args(Weights):
        if form in said:
            assert held(folder, form) == said[form]
        else:
            with pytest.raises(ValueError, match="load: weights is"):
                load(folder, weights=form)


def test_a_gguf_file_takes_what_is_said(tmp_path: Path):
    model = model_of(CONFIG, np.random.default_rng(0))
    tensors = in_gguf("llama", stored_tensors(family_of("llama"), model), CONFIG)
    half = {name: tensor.astype(np.float16) if tensor.ndim == 2 else tensor for name, tensor in tensors.items()}
    path = write_gguf(tmp_path / "model.gguf", "llama", gguf_metadata(CONFIG), half)
    said = weight_bytes(open_model(path))
    assert {form: held(path, form) for form in get_args(Weights)} == said
    assert said["file"] == said["bfloat16"]
