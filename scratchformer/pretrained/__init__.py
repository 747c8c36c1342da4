"""Real models: their files, weights and tokenizers."""

from scratchformer.pretrained.download import get
from scratchformer.pretrained.gguf import open_gguf
from scratchformer.pretrained.load_tokenizer import load_tokenizer
from scratchformer.pretrained.loading import load
from scratchformer.pretrained.opening import open_weights
from scratchformer.pretrained.safetensors import open_safetensors
from scratchformer.pretrained.saving import save
from scratchformer.pretrained.tensors import StoredTensor, TensorFile

from_pretrained, save_pretrained = load, save
"""The names that transformers has for them."""

__all__ = [
    "StoredTensor",
    "TensorFile",
    "from_pretrained",
    "get",
    "load",
    "load_tokenizer",
    "open_gguf",
    "open_safetensors",
    "open_weights",
    "save",
    "save_pretrained",
]
