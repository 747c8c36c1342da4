"""Small tokenizers of every kind."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tests.pretrained.texts import TEXTS

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def byte_level() -> dict[str, Any]:
    """A byte-level tokenizer that is learned from the texts, as GGUF metadata without `pre`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [*sorted(model["vocab"], key=model["vocab"].__getitem__), "<|im_start|>", "<|im_end|>", "<user>"]
    return ggml(
        model="gpt2",
        tokens=tokens,
        token_type=[1] * (len(tokens) - 3) + [3, 3, 4],
        merges=[" ".join(pair) for pair in model["merges"]],
        bos_token_id=len(tokens) - 3,
        eos_token_id=len(tokens) - 2,
    ) | {"tokenizer.chat_template": TEMPLATE}


def sentence_piece(*, without: str = "") -> dict[str, Any]:
    """A vocabulary with scores, as SentencePiece's byte pair encoding has it, as GGUF metadata.

    Characters in `without` are no tokens, though other tokens contain them.
    """
    words = ["the", "quick", "text", "and", "word", "user", "日本", "本"]
    pieces = {f"\u2581{word}": None for word in words}
    grown = {piece[:end] for piece in pieces for end in range(2, len(piece) + 1)} | {"\u2581" * n for n in (2, 3, 4, 8)}
    grown |= {word[:end] for word in words for end in range(2, len(word) + 1)}
    ordered = sorted(grown, key=lambda piece: (len(piece), piece))
    characters = sorted({character for piece in grown for character in piece} - {*without})
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *ordered, *characters, "<user>"]
    return ggml(
        model="llama",
        tokens=tokens,
        token_type=[2, 3, 3] + [6] * 256 + [1] * (len(ordered) + len(characters)) + [4],
        scores=[0.0] * 259 + [-float(i) for i in range(len(tokens) - 259)],
        bos_token_id=1,
        eos_token_id=2,
        unknown_token_id=0,
    )


WORD_PIECES = [
    *(
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "the",
        "un",
        "##able",
        "##aff",
        "hello",
        "world",
        "!",
        "?",
        ",",
        "'",
    ),
    *("caf", "##e", "日", "本", "1", "##2", "a", "##a", "ᄒ", "##ᅡ", "##ᆫ"),
]


def word_piece() -> dict[str, Any]:
    """BERT's kind, as GGUF metadata."""
    tokens = [
        token if token.startswith("[") else token[2:] if token.startswith("##") else f"\u2581{token}"
        for token in WORD_PIECES
    ]
    ids = {"padding": 0, "unknown": 1, "bos": 2, "seperator": 3, "mask": 4}
    types = [3] * 5 + [1] * (len(tokens) - 5)
    return ggml(model="bert", tokens=tokens, token_type=types, **{f"{role}_token_id": i for role, i in ids.items()})


def ggml(**entries: Any) -> dict[str, Any]:
    return {f"tokenizer.ggml.{key}": value for key, value in entries.items()}


def bert_tokenizer() -> Tokenizer:
    """The same as `word_piece`, by the package's own parts, and with padding and truncation on."""
    ids = {token: i for i, token in enumerate(WORD_PIECES)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(WORD_PIECES[:5])
    tokenizer.enable_padding(length=8)
    tokenizer.enable_truncation(8)
    return tokenizer


def write_folder(folder: Path, files: Mapping[str, Any]) -> Path:
    """Writes files, those that are no strings as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_bytes(text.encode("utf-8", errors="surrogatepass"))
    return folder
