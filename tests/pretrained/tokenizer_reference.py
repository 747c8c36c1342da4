"""What other programs make of the texts, and as much of two real vocabularies as that needs.

`python -m tests.pretrained.tokenizer_reference` writes it anew. It needs xllamacpp, transformers and the real models.
"""

import json
import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any

from scratchformer.pretrained import get, open_gguf
from tests.pretrained.texts import CHATS, TEXTS

FILE = Path(__file__).with_suffix(".json")
KEYS = "tokens", "token_type", "merges"


class LlamaCpp:
    """Asks the server of llama.cpp."""

    def __init__(self, path: Path) -> None:
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx = 64
        parameters.warmup = False
        self._server = xllamacpp.Server(parameters)

    def ids(self, text: str, *, add_special: bool = False, parse_special: bool = True) -> list[int]:
        return self._ask("tokenize", content=text, add_special=add_special, parse_special=parse_special)["tokens"]

    def chat(self, messages: list[dict[str, str]]) -> str:
        return self._ask("apply-template", messages=messages)["prompt"]

    def _ask(self, what: str, **content: Any) -> Any:
        address = f"{self._server.listening_address}/{what}"
        request = urllib.request.Request(address, json.dumps(content).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


def smollm2(path: Path) -> dict[str, Any]:
    judge = LlamaCpp(path)
    metadata = open_gguf(path).metadata
    tokens, types, lines = (metadata[f"tokenizer.ggml.{key}"] for key in KEYS)
    ids = [judge.ids(text) for text in TEXTS]
    plain = {i: found for i, text in enumerate(TEXTS) if (found := judge.ids(text, parse_special=False)) != ids[i]}
    chats = [judge.chat(messages) for messages in CHATS]
    of_chats = [judge.ids(chat) for chat in chats]
    used = {token for row in (*ids, *plain.values(), *of_chats) for token in row}
    special = [i for i, kind in enumerate(types) if kind == 3]
    ranks = {line: rank for rank, line in enumerate(lines)}
    kept, merges = set(special) | {i for i, token in enumerate(tokens) if len(token) == 1}, set()
    for token in used - set(special):
        merges |= _merges_within(tokens[token], ranks)
    texts = {tokens[i] for i in kept} | {part for line in merges for part in (*line.split(), line.replace(" ", ""))}
    others = {key: value for key, value in metadata.items() if key.startswith("tokenizer.")}
    return {
        "metadata": {key: value for key, value in others.items() if key.rpartition(".")[2] not in KEYS},
        "size": len(tokens),
        "special": special,
        "tokens": {i: token for i, token in enumerate(tokens) if token in texts},
        "merges": sorted(merges, key=ranks.__getitem__),
        "ids": ids,
        "plain": plain,
        "chats": list(zip(chats, of_chats, strict=True)),
    }


def _merges_within(token: str, ranks: dict[str, int]) -> set[str]:
    """The merges that make a token of its characters."""
    parts, used = list(token), set()
    while len(parts) > 1:
        pairs = [f"{left} {right}" for left, right in pairwise(parts)]
        first = min(range(len(pairs)), key=lambda i: ranks.get(pairs[i], len(ranks)))
        used.add(pairs[first])
        parts[first : first + 2] = [parts[first] + parts[first + 1]]
    return used


def minilm(folder: Path) -> dict[str, Any]:
    from transformers import AutoTokenizer

    judge = AutoTokenizer.from_pretrained(folder)
    options = {"padding": False, "truncation": False}
    ids = [judge(text, **options)["input_ids"] for text in TEXTS]
    plain = [judge(text, split_special_tokens=True, **options)["input_ids"] for text in TEXTS]
    state = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    special = {token["id"] for token in state["added_tokens"]}
    used = {token for row in (*ids, *plain) for token in row} | special
    state["model"]["vocab"] = {text: i for text, i in state["model"]["vocab"].items() if i in used}
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    differing = {i: row for i, row in enumerate(plain) if row != ids[i]}
    return {"tokenizer.json": state, "tokenizer_config.json": config, "ids": ids, "plain": differing}


def reference() -> dict[str, Any]:
    return json.loads(json.dumps({"smollm2": smollm2(get("smollm2")), "minilm": minilm(get("minilm"))}))


if __name__ == "__main__":
    FILE.write_text(json.dumps(reference(), ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
