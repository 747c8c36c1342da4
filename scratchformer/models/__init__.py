"""Whole networks."""

from scratchformer.models.bert import BERT
from scratchformer.models.bert_config import BERTConfig
from scratchformer.models.block_matrices import block_matrices
from scratchformer.models.gpt import GPT, GPTConfig
from scratchformer.models.llama import Llama, LlamaConfig
from scratchformer.models.transformer import Transformer
from scratchformer.models.transformer_config import TransformerConfig

__all__ = [
    "BERT",
    "GPT",
    "BERTConfig",
    "GPTConfig",
    "Llama",
    "LlamaConfig",
    "Transformer",
    "TransformerConfig",
    "block_matrices",
]
