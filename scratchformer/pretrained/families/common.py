"""Keys of config.json that all families share, and activations by the names they have there."""

from typing import Any

from scratchformer.generation.settings import HARMLESS as OF_GENERATION
from scratchformer.generation.settings import OFF, GenerationSettings

_OF_ORIGIN = "it says where the file comes from"
_OF_STORAGE = "it says how weights were stored; each tensor says that itself"
_OF_OUTPUT = "it says what else a call returns"
_OF_MEMORY = "it says how memory or time is spent, and changes outputs by rounding alone"
_OF_TOKENS = "it is for the tokenizer and for decoding"
_OF_LABELS = "it names classes; the tensors say how many there are"
_OF_DECODING = "it is a setting of decoding, which generation_config.json holds today"

HARMLESS: dict[str, str] = {
    **dict.fromkeys((*OF_GENERATION, *OFF, *GenerationSettings.__dataclass_fields__), _OF_DECODING),
    "_name_or_path": _OF_ORIGIN,
    "name_or_path": _OF_ORIGIN,
    "_commit_hash": _OF_ORIGIN,
    "transformers_version": _OF_ORIGIN,
    "transformers.js_config": "it is for a browser",
    "unsloth_version": _OF_ORIGIN,
    "unsloth_fixed": _OF_ORIGIN,
    "is_llama_config": _OF_ORIGIN,
    "finetuning_task": _OF_ORIGIN,
    "dtype": _OF_STORAGE,
    "torch_dtype": _OF_STORAGE,
    "output_attentions": _OF_OUTPUT,
    "output_hidden_states": _OF_OUTPUT,
    "return_dict": _OF_OUTPUT,
    "output_past": _OF_OUTPUT,
    "chunk_size_feed_forward": _OF_MEMORY,
    "gradient_checkpointing": _OF_MEMORY,
    "pretraining_tp": _OF_MEMORY,
    "torchscript": _OF_MEMORY,
    "use_bfloat16": _OF_MEMORY,
    "use_cache": _OF_MEMORY,
    "_attn_implementation_autoset": _OF_MEMORY,
    "attn_implementation": _OF_MEMORY,
    "initializer_range": "it is for a model that starts from random weights",
    "bos_token_id": _OF_TOKENS,
    "eos_token_id": _OF_TOKENS,
    "pad_token_id": "it is for the tokenizer; and transformers gives that row of the table no gradient",
    "sep_token_id": _OF_TOKENS,
    "cls_token_id": _OF_TOKENS,
    "mask_token_id": _OF_TOKENS,
    "unk_token_id": _OF_TOKENS,
    "prefix": _OF_TOKENS,
    "tokenizer_class": _OF_TOKENS,
    "directionality": "no code reads it",
    "id2label": _OF_LABELS,
    "label2id": _OF_LABELS,
    "num_labels": _OF_LABELS,
    "_num_labels": _OF_LABELS,
    "problem_type": "it chooses a loss",
    "task_specific_params": _OF_DECODING,
}
"""Keys that are passed over whatever their value, each with the reason."""

MUST_BE: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "auto_map": (None,),
    "cross_attention_hidden_size": (None,),
    "is_decoder": (False,),
    "is_encoder_decoder": (False,),
    "per_layer_config": (None,),
    "pruned_heads": (None, {}),
    "quantization_config": (None,),
    "tie_encoder_decoder": (False,),
    "use_bidirectional_attention": (None, False),
}
"""Keys of what the models here do not have, and the values with which they ask for nothing."""

ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Activations without a gate by the names of config.json. Of two names for one, the first is written."""
NAMES_OF_ACTIVATIONS = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
