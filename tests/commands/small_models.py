"""Small models with random weights, in folders, for commands that open real ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scratchformer.models import BERT, BERTConfig, Llama, LlamaConfig
from scratchformer.pretrained import load_tokenizer, save
from scratchformer.pretrained.gguf_tokenizer import tokenizer_from_metadata
from scratchformer.pretrained.tokenizer import Tokenizer
from tests.gradients import with_random_values
from tests.pretrained.small_tokenizers import bert_tokenizer, byte_level, write_folder


def byte_tokenizer() -> Tokenizer:
    return tokenizer_from_metadata(byte_level() | {"tokenizer.ggml.pre": "gpt-2"}, "small.gguf")


def unwanted() -> tuple[int, ...]:
    """Special tokens, and those that are no whole characters: of the latter alone, nothing would ever be shown."""
    tokenizer = byte_tokenizer()
    broken = (i for i in range(600) if "\N{REPLACEMENT CHARACTER}" in tokenizer.decode([i]))
    return *broken, 600, 601


ENDLESS = {"do_sample": False, "suppress_tokens": [*unwanted()], "eos_token_id": 601}
"""For a generation_config.json: answers do not end before they have to, and hold whole characters alone."""


def language_model(
    folder: Path, *, context_length: int = 300, generation: Mapping[str, Any] | None = None
) -> tuple[Llama, Tokenizer]:
    """Writes a Llama with a tokenizer, a chat template and a generation_config.json into a folder."""
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocabulary_size=tokenizer.vocabulary_size,
        context_length=context_length,
        num_layers=2,
        num_heads=2,
        d_model=8,
        d_hidden=12,
    )
    model = with_random_values(Llama(config, generator=np.random.default_rng(0)), 5).astype(np.float32)
    save(model, folder, tokenizer)
    if generation is not None:
        write_folder(folder, {"generation_config.json": generation})
    return model, tokenizer


def encoder(folder: Path) -> BERT:
    """Writes a BERT with a tokenizer into a folder, and how sentences become vectors."""
    tokenizer = bert_tokenizer()
    config = BERTConfig(
        vocabulary_size=tokenizer.get_vocab_size(),
        context_length=16,
        num_layers=2,
        num_heads=2,
        d_model=8,
        eps=1e-12,
        masked_head=False,
    )
    model = with_random_values(BERT(config, generator=np.random.default_rng(0)), 5).astype(np.float32)
    write_folder(folder, {"tokenizer.json": tokenizer.to_str()})
    save(model, folder, load_tokenizer(folder))
    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in steps]
    pooling = {"word_embedding_dimension": 8, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    limits = {"max_seq_length": 10, "do_lower_case": False}
    write_folder(
        folder,
        {"modules.json": modules, "1_Pooling/config.json": pooling, "sentence_bert_config.json": limits},
    )
    return model
