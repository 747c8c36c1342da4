"""What the metadata of GGUF files says about a model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.models import LlamaConfig
from scratchformer.ops import yarn_magnitude
from scratchformer.pretrained import load
from scratchformer.pretrained.loading import open_model
from tests.pretrained.small_models import gguf_metadata, write_gguf

Tensors = dict[str, ndarray]
TIED = LlamaConfig(20, 32, 2, 4, 2, 8, 6, d_head=2, tied_head=True)


def gguf_tensors(config: LlamaConfig) -> Tensors:
    generator = np.random.default_rng(0)
    d, heads, hidden = config.d_model, config.num_heads, config.hidden_width
    shapes = {"attn_norm": (d,), "ffn_norm": (d,), "attn_q": (heads * 2, d), "attn_output": (d, heads * 2)}
    shapes |= {
        "attn_k": (4, d),
        "attn_v": (4, d),
        "ffn_gate": (hidden, d),
        "ffn_up": (hidden, d),
        "ffn_down": (d, hidden),
    }
    shapes = {f"blk.{i}.{name}.weight": shape for i in range(2) for name, shape in shapes.items()}
    shapes |= {"token_embd.weight": (20, d), "output_norm.weight": (d,)}
    return {name: generator.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def test_the_factors_of_frequencies_in_gguf_files_are_honoured(tmp_path: Path):
    config = replace(TIED, eps=1e-5)
    tensors = gguf_tensors(config)
    path = tmp_path / "model.gguf"
    write_gguf(path, "llama", gguf_metadata(config), tensors | {"rope_freqs.weight": np.array([8], np.float32)})
    found = load(path).config
    assert found.rotary_frequencies == (1 / 8,)
    assert found.eps == 1e-5
    scaled = gguf_metadata(config) | {"rope.scaling.type": "linear", "rope.scaling.factor": 2.0}
    write_gguf(path, "llama", scaled, tensors | {"rope_freqs.weight": np.array([8], np.float32)})
    assert load(path).config.rotary_frequencies == (1 / 16,)
    yarn = {"rope.scaling.type": "yarn", "rope.scaling.factor": 2.0, "rope.scaling.attn_factor": 1.5}
    write_gguf(path, "llama", gguf_metadata(config) | yarn, tensors)
    assert load(path).config.rotary_magnitude == 1.5 * yarn_magnitude(2.0)
    write_gguf(path, "llama", gguf_metadata(config), tensors | {"rope_freqs.weight": np.array([0], np.float32)})
    with pytest.raises(ValueError, match=r"rope_freqs.weight must hold positive finite factors"):
        load(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"rope.dimension_count": 1}, "llama.rope.dimension_count is 1, expected 2"),
        ({"rope.scaling.type": "longrope"}, "llama.rope.scaling.type is 'longrope'"),
        ({"expert_count": 8}, "llama.expert_count is 8, expected 0"),
        ({"attention.clamp_kqv": 1.0}, "the key llama.attention.clamp_kqv is not supported"),
        ({"attention.sliding_window": 4}, "llama.attention.sliding_window is 4, expected 0"),
        ({"block_count": 3}, "the tensor 'blk.2.attn_norm.weight' is missing"),
    ],
)
def test_metadata_that_is_unknown_or_asks_for_too_much_is_named(metadata: dict[str, Any], message: str, tmp_path: Path):
    config = TIED
    path = write_gguf(tmp_path / "model.gguf", "llama", gguf_metadata(config) | metadata, gguf_tensors(config))
    with pytest.raises(ValueError, match=f"^load: .*{message}"):
        load(path)


def test_other_architectures_of_gguf_files_are_refused(tmp_path: Path):
    path = write_gguf(tmp_path / "model.gguf", "gemma3", {}, {"x": np.ones(1, np.float32)})
    with pytest.raises(ValueError, match=r"general.architecture is 'gemma3', expected one of gpt2, llama, qwen2"):
        load(path)


def test_a_gguf_head_that_repeats_the_table_is_tied_and_the_notes_say_so(tmp_path: Path):
    config = TIED
    path, tensors = tmp_path / "model.gguf", gguf_tensors(config)
    for head, tied, note in (
        ({}, True, "the output head is the table of tokens: there is no output.weight"),
        (
            {"output.weight": tensors["token_embd.weight"]},
            True,
            "the output head is the table of tokens, which output.weight repeats",
        ),
        (
            {"output.weight": np.vstack([tensors["token_embd.weight"][:-1], tensors["token_embd.weight"][:1]])},
            False,
            "the output head is a matrix of its own, output.weight",
        ),
    ):
        opened = open_model(write_gguf(path, "llama", gguf_metadata(config), tensors | head))
        assert opened.config.tied_head == tied
        assert opened.notes[0] == note
