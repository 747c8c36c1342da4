"""Our parameters, as tensors by our names, under the names and in the layout of PyTorch's modules."""

from collections.abc import Mapping
from typing import Any

from tests.parity.comparing import torch


def linear(parameters: Mapping[str, Any], name: str) -> dict[str, Any]:
    """For nn.Linear, whose weight is (out, in)."""
    translated = {"weight": parameters[f"{name}.weight"].T}
    if f"{name}.bias" in parameters:
        translated["bias"] = parameters[f"{name}.bias"]
    return translated


def norm(parameters: Mapping[str, Any], name: str) -> dict[str, Any]:
    """For nn.LayerNorm, which names them as we do."""
    return {kind: parameters[f"{name}.{kind}"] for kind in ("weight", "bias") if f"{name}.{kind}" in parameters}


def multi_head_attention(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """For nn.MultiheadAttention, which projects to queries, keys and values with one matrix."""
    query, key_value = linear(parameters, f"{prefix}query"), linear(parameters, f"{prefix}key_value")
    projection = {f"in_proj_{kind}": torch.cat([query[kind], key_value[kind]]) for kind in query}
    return projection | _within("out_proj", linear(parameters, f"{prefix}output"))


def transformer_block(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """For nn.TransformerEncoderLayer, or with cross-attention nn.TransformerDecoderLayer."""
    branches = ["attention", "cross_attention", "feed_forward"]
    if f"{prefix}cross_attention.query.weight" not in parameters:
        branches.remove("cross_attention")
    translated = {}
    for branch, module in (("attention", "self_attn"), ("cross_attention", "multihead_attn")):
        if branch in branches:
            translated |= _within(module, multi_head_attention(parameters, f"{prefix}{branch}."))
    for number, branch in enumerate(branches, start=1):
        translated |= _within(f"norm{number}", norm(parameters, f"{prefix}{branch}_norm"))
    for number, name in enumerate(("up", "down"), start=1):
        translated |= _within(f"linear{number}", linear(parameters, f"{prefix}feed_forward.{name}"))
    return translated


def transformer(parameters: Mapping[str, Any], num_layers: int) -> dict[str, Any]:
    """For nn.Transformer: our encoder and decoder, with the last norms where there are any, but no table."""
    translated = {}
    for part in ("encoder", "decoder"):
        for i in range(num_layers):
            translated |= _within(f"{part}.layers.{i}", transformer_block(parameters, f"{part}.{i}."))
        translated |= _within(f"{part}.norm", norm(parameters, f"{part}_norm"))
    return translated


def _within(module: str, translated: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{module}.{name}": parameter for name, parameter in translated.items()}
