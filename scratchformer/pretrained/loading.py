"""Loads models from files."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.models import BERT, GPT, Llama
from scratchformer.models.decoder_only import DecoderOnly
from scratchformer.pretrained.config_keys import Keys
from scratchformer.pretrained.families import FAMILIES, Family
from scratchformer.pretrained.families.table import Piece
from scratchformer.pretrained.json_files import read_json
from scratchformer.pretrained.opened import Opened
from scratchformer.pretrained.opening import open_weights
from scratchformer.pretrained.placing import check_finite, place
from scratchformer.pretrained.storing import store
from scratchformer.pretrained.tensors import StoredTensor, TensorFile, shown

Weights = Literal["wide", "bfloat16", "int8", "file"]
CONFIG = "config.json"
NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@checked_arguments
def load(path: Path | str, dtype: DTypeLike = np.float32, weights: Weights = "wide") -> GPT | Llama | BERT:
    """The model in a GGUF file, or in a folder as Hugging Face lays it out, with its weights.

    GPT-2, Llama 1 to 3.2, SmolLM2, Mistral, Qwen2, Qwen3 and BERT. Weights are widened from the mapped file into the
    model, one tensor after the other. Nothing that the file says is passed over unseen: a key or tensor that is neither
    used nor known to be harmless is refused by its name.

    Args:
        path: a GGUF file; a folder with `config.json` and safetensors; or one such safetensors file, or the index of
            several, with `config.json` beside it.
        dtype: of the weights, float32 or float64.
        weights: "wide" for weights of this dtype. In the other forms, matrices of a language model in float32 stay
            small in memory, and are widened in each product: "bfloat16" in 2 bytes a weight, "int8" in 34 bytes for 32
            weights, "file" in the bits that the file has. Such a model is a read-only store: it has no backward, and is
            not packed, copied or saved.

    Raises ValueError for files that are missing or damaged, for what is not supported, and for weights that are NaN or
    infinite.
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"load: dtype must be float32 or float64, got {dtype}")
    opened = open_model(path)
    model = opened.family.model_type(opened.config, generator=None, dtype=dtype)
    if weights == "wide":
        fill(opened, {name: parameter.value for name, parameter in model.parameters().items()})
    elif dtype == np.float32 and isinstance(model, DecoderOnly):
        store(opened, model, weights)
    else:
        raise ValueError(
            f"load: weights is {weights!r}, expected 'wide' for a {opened.family.title} in {dtype}: "
            "only language models in float32 stay small"
        )
    return model  # type: ignore[return-value]


def open_model(path: Path | str) -> Opened:
    """Opens a model: reads its configuration, and finds the tensor for every part of every parameter.

    Raises ValueError as `load` does, but for the values of weights.
    """
    file = open_weights(path)
    family, keys = _family(Path(path), file)
    tensors = _named_as_in_table(family, file)
    try:
        read = family.read_metadata if file.format == "gguf" else family.read_config
        config = read(keys, tensors)
    except ValueError as error:
        if str(error).startswith("load: "):
            raise
        raise ValueError(f"load: {keys.where}: {error}") from None
    keys.finish()
    originals = _without_copies(family, config, file, tensors)
    pieces = _checked_pieces(family, config, file, originals)
    return Opened(file, family, config, originals, pieces, tuple(_notes(family, config, file, tensors)))


def fill(opened: Opened, parameters: Mapping[str, np.ndarray]) -> None:
    """Reads all weights into parameters. Raises ValueError for NaN and infinity, naming the tensor."""
    for piece in opened.pieces:
        place(piece, opened.tensors[piece.name], parameters[piece.parameter], has_pairs=opened.has_pairs)
        opened.file.release()
    for piece in opened.pieces:
        check_finite(opened.tensors[piece.name], parameters[piece.parameter][..., piece.columns])


def _family(path: Path, file: TensorFile) -> tuple[Family, Keys]:
    """The family that a file or folder belongs to, and the keys that describe its model."""
    if file.format == "gguf":
        kind = file.metadata.get("general.type", "model")
        if kind != "model":
            raise ValueError(f"load: {file.path}: general.type is {shown(kind)}, expected 'model'")
        architecture = file.metadata.get("general.architecture")
        known = {family.architecture: family for family in FAMILIES if family.architecture}
        if not isinstance(architecture, str) or architecture not in known:
            raise ValueError(
                f"load: {file.path}: general.architecture is {shown(architecture)}, expected one of {', '.join(known)}"
            )
        return known[architecture], Keys(
            file.metadata, str(file.path), f"{architecture}.", most_layers=len(file.tensors)
        )
    folder = path if os.path.isdir(path) else path.parent
    if not (folder / CONFIG).is_file():
        raise ValueError(f"load: {folder} has no {CONFIG}, which says what model the weights are of")
    where = str(folder / CONFIG)
    keys = Keys(read_json(folder / CONFIG), where, most_layers=len(file.tensors))
    family = keys.choice("model_type", {family.name: family for family in FAMILIES})
    for name in keys.words("architectures") or ():
        if name not in family.classes:
            raise ValueError(
                f"load: {where}: architectures has {shown(name)}, expected one of {', '.join(family.classes)}"
            )
    return family, keys


def _named_as_in_table(family: Family, file: TensorFile) -> dict[str, StoredTensor]:
    if file.format == "gguf":
        return dict(file.tensors)
    tensors: dict[str, StoredTensor] = {}
    for name, tensor in file.tensors.items():
        known = family.renamed(name.removeprefix(family.prefix))
        if known in tensors:
            raise ValueError(
                f"load: {tensor.path}: the tensors {shown(tensors[known].name)} and {shown(name)} are the same"
            )
        tensors[known] = tensor
    return tensors


def _without_copies(
    family: Family, config: Any, file: TensorFile, tensors: Mapping[str, StoredTensor]
) -> dict[str, StoredTensor]:
    """The tensors without those that repeat others. A copy whose original is missing takes its place."""
    found = dict(tensors)
    expected = family.stored_shapes(config, file.format)
    for name, original in family.copies.items():
        if name in expected or name not in found:
            continue
        copy = found.pop(name)
        if original not in found:
            found[original] = copy
        elif not _is_same(copy, found[original]):
            raise ValueError(
                f"load: {copy.path}: the tensor {shown(copy.name)} differs from {shown(found[original].name)}, to "
                "which it is tied"
            )
    return found


def _is_same(one: StoredTensor, other: StoredTensor) -> bool:
    if one.kind == other.kind:
        return one.shape == other.shape and bool(np.array_equal(one.raw, other.raw))
    return one.is_readable and other.is_readable and bool(np.array_equal(one.read(), other.read()))


def _checked_pieces(
    family: Family, config: Any, file: TensorFile, tensors: Mapping[str, StoredTensor]
) -> tuple[Piece, ...]:
    """Checks that the file has each tensor of the table, in its shape, and no others."""
    where = f"load: {file.path}"
    expected = family.stored_shapes(config, file.format)
    for name, shape in expected.items():
        tensor = tensors.get(name)
        if tensor is None:
            prefix = family.prefix if any(one.startswith(family.prefix) for one in file.tensors) else ""
            full = name if name.startswith(family.heads) else f"{prefix}{name}"
            raise ValueError(f"{where}: the tensor {shown(full)} is missing{_hint(family, name)}")
        if tensor.shape != shape:
            raise ValueError(
                f"load: {tensor.path}: the tensor {shown(tensor.name)} has shape {tensor.shape}, expected {shape}"
            )
        if not tensor.is_readable:
            raise ValueError(
                f"load: {tensor.path}: the tensor {shown(tensor.name)} is stored as {tensor.kind}, which cannot be read"
            )
    for name, tensor in tensors.items():
        if name not in expected and NUMBER.sub("{i}", name) not in family.harmless:
            raise ValueError(
                f"load: {tensor.path}: the tensor {shown(tensor.name)} is not supported: "
                f"a {family.title} of this configuration has no parameter for it"
            )
    return tuple(family.pieces(config, file.format))


def _notes(family: Family, config: Any, file: TensorFile, tensors: Mapping[str, StoredTensor]) -> Iterator[str]:
    head = family.head(file.format)
    if head:
        if head in family.stored_shapes(config, file.format):
            yield f"the output head is a matrix of its own, {head}"
        else:
            repeated = f", which {head} repeats" if head in tensors else f": there is no {head}"
            yield f"the output head is the table of tokens{repeated}"
    passed_over = {NUMBER.sub("{i}", name) for name in tensors}
    for name, reason in family.harmless.items():
        if name in passed_over:
            yield f"passed over: {name}, {reason}"


def _hint(family: Family, name: str) -> str:
    if name in family.copies:
        return '; if the head is the table of tokens, write "tie_word_embeddings": true into config.json'
    return ""
