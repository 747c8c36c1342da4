"""Valid calls of what `scratchformer.pretrained` has, and the small files that they read."""

from pathlib import Path
from typing import Any

import numpy as np

from scratchformer import generation, pretrained
from tests.commands.small_models import byte_tokenizer, language_model
from tests.malformed.recipes.call import Recipe, method, new, single
from tests.malformed.recipes.models import gpt
from tests.pretrained.small_models import BY_NAME, gguf_metadata, in_gguf, random_model, write_gguf

FOLDER, FILE = Path("llama"), Path("llama.gguf")


def write_models() -> None:
    """Writes a Llama with a tokenizer as a folder, and another one as a GGUF file."""
    language_model(FOLDER)
    model = random_model("llama", 4)
    tensors = pretrained.saving.stored_tensors(BY_NAME["llama"], model)
    write_gguf(FILE, "llama", gguf_metadata(model.config), in_gguf("llama", tensors, model.config))


def tensor() -> pretrained.StoredTensor:
    return pretrained.StoredTensor("a", (2, 3), "F32", single(6).view(np.uint8), FILE)


LOADED: dict[str, Any] = {"path": FOLDER, "dtype": np.float32, "weights": "wide"}
SAVED: dict[str, Any] = {
    "model": lambda: gpt(),
    "folder": Path("gpt2"),
    "tokenizer": None,
    "generation": lambda: generation.GenerationSettings(),
}
PRETRAINED: dict[str, Recipe] = {
    "pretrained.load": new(pretrained, "load", **LOADED),
    "pretrained.load with a GGUF file": new(pretrained, "load", **LOADED | {"path": FILE, "weights": "file"}),
    "pretrained.from_pretrained": new(pretrained, "from_pretrained", **LOADED),
    "pretrained.save": new(pretrained, "save", **SAVED),
    "pretrained.save with a tokenizer": new(
        pretrained,
        "save",
        model=lambda: language_model(FOLDER)[0],
        folder=Path("again"),
        tokenizer=lambda: byte_tokenizer(),
    ),
    "pretrained.save_pretrained": new(pretrained, "save_pretrained", **SAVED),
    "pretrained.load_tokenizer": new(pretrained, "load_tokenizer", path=FOLDER),
    "pretrained.open_gguf": new(pretrained, "open_gguf", path=FILE),
    "pretrained.open_safetensors": new(pretrained, "open_safetensors", path=FOLDER / "model.safetensors"),
    "pretrained.open_weights": new(pretrained, "open_weights", path=FOLDER),
    "pretrained.get": new(pretrained, "get", name="smollm2"),
    "pretrained.StoredTensor.read": method(tensor, "read", dtype=np.float64),
    "pretrained.StoredTensor.read_into": method(tensor, "read_into", out=lambda: single(1, 3), rows=slice(1, 2)),
}
