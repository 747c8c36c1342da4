"""Opens the tokenizer of a model's files."""

import os
from pathlib import Path

from scratchformer.arguments import checked_arguments
from scratchformer.pretrained.folder_tokenizer import tokenizer_from_folder
from scratchformer.pretrained.gguf import open_gguf
from scratchformer.pretrained.gguf_tokenizer import tokenizer_from_metadata
from scratchformer.pretrained.opening import check_there
from scratchformer.pretrained.tokenizer import Tokenizer


@checked_arguments
def load_tokenizer(path: Path | str) -> Tokenizer:
    """The tokenizer of a GGUF file, or of a folder as Hugging Face lays it out.

    Args:
        path: a GGUF file, of which `gguf_tokenizer` says what is read; or a folder or its `tokenizer.json`, of which
            `folder_tokenizer` says it.

    Needs the extra: `pip install 'scratchformer[pretrained]'`.

    Raises ValueError, in one sentence that names the file, for what is missing, damaged or not known.
    """
    path = Path(path)
    if os.path.isdir(path) or path.suffix == ".json":  # unlike its method, it takes names of any length
        return tokenizer_from_folder(path)
    check_there(path)
    return tokenizer_from_metadata(open_gguf(path).metadata, path)
