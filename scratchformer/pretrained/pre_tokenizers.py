"""How GGUF's byte-level tokenizers cut a text into words, within which tokens are merged.

`tokenizer.ggml.pre` names the way. A wrong one changes ids silently, so that a name that is not here is refused.

Source: the patterns of `llama-vocab.cpp` in llama.cpp, which has them from the models' own files.
"""

from dataclasses import dataclass
from typing import Any

from scratchformer.pretrained.extra import import_extra

DIGIT = r"\p{N}"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_SHORTENED = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
_AFTER_NUMBERS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{_SHORTENED}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_AFTER_NUMBERS}"
QWEN2 = rf"{_SHORTENED}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_AFTER_NUMBERS}"


@dataclass(frozen=True)
class PreTokenizer:
    """A way to cut a text into words.

    Args:
        patterns: regular expressions, applied one after the other to what the one before left; each of their matches
            is a word of its own, and so is what lies between two of them.
        ignores_merges: whether a word that is a token becomes that token, however the merges would have it.
        adds_bos: whether a text begins with `bos` where the file does not say.
    """

    patterns: tuple[str, ...]
    ignores_merges: bool = False
    adds_bos: bool = False

    def build(self) -> Any:
        """The pre-tokenizer of the package `tokenizers`; after cutting, it writes each byte as a character."""
        tokenizers = import_extra("load_tokenizer", "tokenizers")
        from_patterns = [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated") for pattern in self.patterns
        ]
        to_bytes = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        return tokenizers.pre_tokenizers.Sequence([*from_patterns, to_bytes])


_LLAMA3 = PreTokenizer((LLAMA3,), ignores_merges=True, adds_bos=True)
_QWEN2 = PreTokenizer((QWEN2,))
PRE_TOKENIZERS = {
    "gpt-2": PreTokenizer((GPT2,)),
    "smollm": PreTokenizer((DIGIT, GPT2)),
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
}
"""By the value of `tokenizer.ggml.pre`."""
