"""The families of models that can be loaded and saved, each described once by a table."""

from scratchformer.pretrained.families.bert import BERT_FAMILY
from scratchformer.pretrained.families.gpt2 import GPT2
from scratchformer.pretrained.families.llama import LLAMA
from scratchformer.pretrained.families.mistral import MISTRAL
from scratchformer.pretrained.families.qwen import QWEN2, QWEN3
from scratchformer.pretrained.families.table import Family

FAMILIES: tuple[Family, ...] = (GPT2, LLAMA, MISTRAL, QWEN2, QWEN3, BERT_FAMILY)
"""A model is saved as the first of its class that can say all of it."""

__all__ = ["FAMILIES", "Family"]
