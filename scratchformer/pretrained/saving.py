"""Saves models as Hugging Face lays them out."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.arguments import checked_arguments
from scratchformer.generation import GenerationSettings
from scratchformer.models import BERT, GPT, Llama
from scratchformer.pretrained.families import FAMILIES, Family
from scratchformer.pretrained.loading import CONFIG
from scratchformer.pretrained.placing import taken
from scratchformer.pretrained.safetensors import INDEX, WHOLE
from scratchformer.pretrained.tokenizer import Tokenizer
from scratchformer.replacing import replace_file
from scratchformer.training.checkpoint import as_safetensors
from scratchformer.training.saving import check_finite

GENERATION_CONFIG = "generation_config.json"


@checked_arguments
def save(
    model: GPT | Llama | BERT,
    folder: Path | str,
    tokenizer: Tokenizer | None = None,
    generation: GenerationSettings | None = None,
) -> Path:
    """Writes a model as a folder that transformers opens, with equal outputs, and so does `load`.

    It writes `config.json` and `model.safetensors`, in the model's dtype; for a tokenizer `tokenizer.json` and
    `tokenizer_config.json`; and `generation_config.json`, if there are settings or a tokenizer that names the tokens
    that end an answer. Files of these names are replaced, each as a whole. While it writes, it takes twice the memory
    of the weights.

    Args:
        folder: is made if it is missing.
        tokenizer: of the model.
        generation: how the model is meant to be decoded.

    Returns:
        the folder.

    Raises:
        ValueError: a model with an option that no family of models has, or with NaN or infinity; a tokenizer with more
            tokens than the model; a folder that holds weights in other files.
        OSError: a file cannot be written.
    """
    folder = Path(folder)
    family, described = _described(model)
    if tokenizer is not None and tokenizer.vocabulary_size > model.config.vocabulary_size:
        raise ValueError(
            f"save: tokenizer has {tokenizer.vocabulary_size:,} tokens, the model {model.config.vocabulary_size:,}"
        )
    _check_folder(folder)
    tensors = stored_tensors(family, model)
    try:
        check_finite(tensors)
    except ValueError as error:
        raise ValueError(f"save: {error}") from None
    settings = _generation(generation, None if isinstance(model, BERT) else tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        tokenizer.save(folder)
    if settings:
        _write_json(folder / GENERATION_CONFIG, settings)
    _write_json(folder / CONFIG, described)
    replace_file(folder / WHOLE, [as_safetensors(tensors, {"format": "pt"})])
    return folder


def stored_tensors(family: Family, model: GPT | Llama | BERT) -> dict[str, ndarray]:
    """The tensors of a model by their names in safetensors. Most are views."""
    parameters = {name: parameter.value for name, parameter in model.parameters().items()}
    class_name = family.class_of(model.config)
    parts: dict[str, list[ndarray]] = {}
    columns: dict[str, int] = {}
    for piece in family.pieces(model.config, "safetensors"):
        name = family.full_name(piece.name, class_name)
        parts.setdefault(name, []).append(taken(piece, parameters[piece.parameter]))
        columns[name] = 0 if piece.is_transposed else -1
    return {name: some[0] if len(some) == 1 else np.concatenate(some, columns[name]) for name, some in parts.items()}


def _described(model: GPT | Llama | BERT) -> tuple[Family, dict[str, Any]]:
    """The first family that can say all of a model, and what its config.json says."""
    reasons = []
    dtype = str(next(iter(model.parameters().values())).value.dtype)
    for family in FAMILIES:
        if family.model_type is type(model):
            try:
                written = family.write_config(model.config)
            except ValueError as error:
                reasons.append(str(error))
                continue
            described = {
                "model_type": family.name,
                "architectures": [family.class_of(model.config)],
                **written,
                "dtype": dtype,
                "torch_dtype": dtype,
            }
            return family, described
    raise ValueError(f"save: no family of models that can be saved is like this one: {'; '.join(reasons)}")


def _generation(settings: GenerationSettings | None, tokenizer: Tokenizer | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if settings is not None:
        default = GenerationSettings()
        values = {field.name: getattr(settings, field.name) for field in fields(settings)}
        found = {name: value for name, value in values.items() if value != getattr(default, name)}
        if settings.do_sample:
            found["top_k"] = settings.top_k or 0  # absent, it would mean 50
    if tokenizer is not None:
        for role in ("bos", "pad"):
            if role in tokenizer.roles:
                found.setdefault(f"{role}_token_id", tokenizer.roles[role])
        if tokenizer.stop_tokens:
            found.setdefault("eos_token_id", list(tokenizer.stop_tokens))
    return found


def _check_folder(folder: Path) -> None:
    """Raises ValueError for a folder in which the weights would stand twice."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"save: {folder} is a file, expected a folder")
    others = sorted(path.name for path in folder.glob("*") if path.name == INDEX or path.suffix == ".gguf")
    if others:
        raise ValueError(f"save: {folder} holds the weights of a model in {others[0]}; choose another folder")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    replace_file(path, [(json.dumps(content, indent=2) + "\n").encode()])
