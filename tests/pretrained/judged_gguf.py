"""GGUF files with a tokenizer and a model of almost nothing, which llama.cpp loads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter

from scratchformer.pretrained import get, open_gguf

WIDTH = 32
BLOCK = {
    **dict.fromkeys(("attn_norm", "ffn_norm"), (WIDTH,)),
    **dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (WIDTH, WIDTH)),
    **dict.fromkeys(("ffn_gate", "ffn_up", "ffn_down"), (WIDTH, WIDTH)),
}


def write_model(path: Path, tokenizer: Mapping[str, Any]) -> Path:
    """Writes a model whose metadata has these entries below `tokenizer.ggml.`."""
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH)
    writer.add_vocab_size(len(tokenizer["tokens"]))
    for key, value in tokenizer.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, str: writer.add_string}.get(type(value), writer.add_array)
        add(f"tokenizer.ggml.{key}", value)
    shapes = {"token_embd": (len(tokenizer["tokens"]), WIDTH), "output_norm": (WIDTH,)}
    shapes |= {f"blk.0.{name}": shape for name, shape in BLOCK.items()}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def smollm2_with(path: Path, pre: str) -> Path:
    """SmolLM2's vocabulary and merges, with another pre-tokenizer."""
    metadata = open_gguf(get("smollm2")).metadata
    arrays = {key: metadata[f"tokenizer.ggml.{key}"] for key in ("tokens", "merges")}
    types = metadata["tokenizer.ggml.token_type"].tolist()
    return write_model(
        path, {"model": "gpt2", "pre": pre, "bos_token_id": 1, "eos_token_id": 2, "token_type": types} | arrays
    )
