"""Folders of small models, taken apart and written again with something changed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from safetensors.numpy import load_file

from scratchformer.pretrained import save
from tests.pretrained.files import described, safetensors
from tests.pretrained.small_models import Model

NAMES_OF_DTYPES = {"float16": "F16", "float32": "F32", "float64": "F64", "int64": "I64", "uint8": "U8"}
Tensors = dict[str, ndarray]
WEIGHTS = "model.safetensors"


def taken_apart(model: Model, folder: Path) -> tuple[dict[str, Any], Tensors]:
    """What config.json and the weights of a saved model hold."""
    save(model, folder)
    return json.loads((folder / "config.json").read_text()), load_file(folder / WEIGHTS)


def write(folder: Path, config: object, tensors: Mapping[str, ndarray], name: str = WEIGHTS) -> Path:
    """Writes both, where no code of the package does. 16-bit words are bfloat16."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / name).write_bytes(of_tensors(tensors))
    return folder


def of_tensors(tensors: Mapping[str, ndarray]) -> bytes:
    named = {
        name: (NAMES_OF_DTYPES.get(tensor.dtype.name, "BF16"), np.ascontiguousarray(tensor))
        for name, tensor in tensors.items()
    }
    return safetensors(*described(named))
