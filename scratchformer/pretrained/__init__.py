"""Real models: their files, weights and tokenizers."""

from scratchformer.pretrained.download import get
from scratchformer.pretrained.gguf import open_gguf
from scratchformer.pretrained.opening import open_weights
from scratchformer.pretrained.safetensors import open_safetensors
from scratchformer.pretrained.tensors import StoredTensor, TensorFile

__all__ = ["StoredTensor", "TensorFile", "get", "open_gguf", "open_safetensors", "open_weights"]
