"""The special tokens around every text."""

from collections.abc import Sequence
from typing import Any

from scratchformer.pretrained.extra import import_extra


def surround_texts(backend: Any, before: Sequence[int], after: Sequence[int]) -> None:
    """Lets a tokenizer of the package `tokenizers` put these ids before and after every text.

    Whatever it put there so far goes.
    """
    processors = import_extra("load_tokenizer", "tokenizers").processors
    backend.post_processor = processors.TemplateProcessing(
        single=[*(f"id{i}" for i in before), "$A", *(f"id{i}" for i in after)],
        special_tokens=[
            {"id": f"id{i}", "ids": [i], "tokens": [backend.id_to_token(i)]} for i in dict.fromkeys((*before, *after))
        ],
    )
