import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from scratchformer.pretrained.load_tokenizer import load_tokenizer
from tests.pretrained.small_tokenizers import TEMPLATE, WORD_PIECES, bert_tokenizer, byte_level, write_folder
from tests.pretrained.texts import TEXTS

BERT = json.loads(bert_tokenizer().to_str())
BERT_CONFIG = {
    **{f"{role}_token": f"[{role.upper()}]" for role in ("pad", "unk", "cls", "sep", "mask")},
    "tokenizer_class": "BertTokenizer",
    "do_lower_case": True,
}
GGML = byte_level()
TOKENS = GGML["tokenizer.ggml.tokens"][:-3]
VOCABULARY = {token: i for i, token in enumerate(TOKENS)}
MERGES = "#version: 0.2\n" + "\n".join(GGML["tokenizer.ggml.merges"]) + "\n"
GPT2 = {"vocab.json": VOCABULARY, "merges.txt": MERGES, "config.json": {"model_type": "gpt2"}}


def gpt2_tokenizer() -> Tokenizer:
    merges = [tuple(line.split(" ")) for line in GGML["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(VOCABULARY, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def with_tokens() -> dict[str, Any]:
    tokenizer = gpt2_tokenizer()
    tokenizer.add_tokens([AddedToken("<|end|>", special=True), AddedToken("<tool>", special=False)])
    return json.loads(tokenizer.to_str())


END, TOOL = len(TOKENS), len(TOKENS) + 1


def test_padding_and_truncation_of_tokenizer_json_are_off(tmp_path: Path):
    tokenizer = load_tokenizer(write_folder(tmp_path, {"tokenizer.json": BERT, "tokenizer_config.json": BERT_CONFIG}))
    assert tokenizer.encode("hello").tolist() == [2, 9, 3]
    assert len(tokenizer.encode("hello world! " * 9)) == 29
    assert tokenizer.roles == {"unk": 1, "sep": 3, "pad": 0, "cls": 2, "mask": 4}
    assert set(tokenizer.special) == set(WORD_PIECES[:5])


def test_vocab_txt_makes_the_same_tokenizer(tmp_path: Path):
    files = {"vocab.txt": "\r\n".join(WORD_PIECES) + "\r\n", "tokenizer_config.json": BERT_CONFIG}
    tokenizer = load_tokenizer(write_folder(tmp_path, files))
    judge = bert_tokenizer()
    judge.no_padding()
    judge.no_truncation()
    for text in TEXTS:
        assert tokenizer.encode(text).tolist() == judge.encode(text).ids, text
    cased = write_folder(tmp_path / "cased", {**files, "tokenizer_config.json": {"do_lower_case": False}})
    assert load_tokenizer(cased).encode("Hello hello").tolist() == [2, 1, 9, 3]


def test_vocab_json_and_merges_make_the_tokenizer_of_gpt2(tmp_path: Path):
    tokenizer = load_tokenizer(write_folder(tmp_path, GPT2))
    judge = gpt2_tokenizer()
    for text in TEXTS:
        assert tokenizer.encode(text).tolist() == judge.encode(text).ids, text


def test_tokenizer_json_can_be_named_itself(tmp_path: Path):
    folder = write_folder(tmp_path, {"tokenizer.json": with_tokens()})
    assert load_tokenizer(folder / "tokenizer.json").special == load_tokenizer(folder).special == {"<|end|>": END}


def test_special_tokens_and_others_are_found_in_every_file_that_can_name_them(tmp_path: Path):
    config = {
        "eos_token": {"content": "<|end|>", "lstrip": False},
        "pad_token": "<absent>",
        "added_tokens_decoder": {
            str(END): {"content": "<|end|>", "special": True},
            str(TOOL): {"content": "<tool>", "special": False},
            str(TOOL + 1): {"content": "<think>", "special": False},
        },
        "additional_special_tokens": ["<tool>"],
    }
    files = {
        "tokenizer.json": with_tokens(),
        "tokenizer_config.json": config,
        "special_tokens_map.json": {"bos_token": "<tool>", "eos_token": "<think>"},
    }
    tokenizer = load_tokenizer(write_folder(tmp_path, files))
    assert tokenizer.roles == {"bos": TOOL, "eos": END}
    assert tokenizer.special == {"<|end|>": END, "<tool>": TOOL}
    assert tokenizer.stop_tokens == (END,)
    assert tokenizer.vocabulary_size == TOOL + 2
    assert tokenizer.encode("<|end|><tool><think>").tolist() == [END, TOOL, TOOL + 1]
    plain = tokenizer.encode("<|end|><tool><think>", parse_special=False).tolist()
    assert plain[-1] == TOOL + 1
    assert not {END, TOOL} & set(plain)
    older = {**GPT2, "added_tokens.json": {"<|end|>": END}, "special_tokens_map.json": {"eos_token": "<|end|>"}}
    assert load_tokenizer(write_folder(tmp_path / "older", older)).special == {"<|end|>": END}


@pytest.mark.parametrize(
    ("config", "before", "after"),
    [
        ({}, [], []),
        ({"add_bos_token": True}, [TOOL], []),
        ({"add_bos_token": True, "add_eos_token": True}, [TOOL], [END]),
        ({"add_bos_token": False}, [], []),
    ],
)
def test_add_bos_and_add_eos_are_honoured(config: dict[str, Any], before: list[int], after: list[int], tmp_path: Path):
    config = {"bos_token": "<tool>", "eos_token": "<|end|>", **config}
    files = {"tokenizer.json": with_tokens(), "tokenizer_config.json": config}
    tokenizer = load_tokenizer(write_folder(tmp_path, files))
    inner = tokenizer.encode("a b", add_special_tokens=False).tolist()
    assert tokenizer.encode("a b").tolist() == before + inner + after


def test_chat_templates_are_found_wherever_they_stand(tmp_path: Path):
    base = {"tokenizer.json": with_tokens()}
    alone = {**base, "tokenizer_config.json": {"chat_template": TEMPLATE}}
    assert load_tokenizer(write_folder(tmp_path / "1", alone)).templates == {"default": TEMPLATE}
    named = [{"name": "default", "template": "a"}, {"name": "rag", "template": "b"}]
    both = {**base, "tokenizer_config.json": {"chat_template": named}}
    assert load_tokenizer(write_folder(tmp_path / "2", both)).templates == {"default": "a", "rag": "b"}
    files = {**both, "chat_template.jinja": "c", "additional_chat_templates/tool_use.jinja": "d"}
    expected = {"default": "c", "rag": "b", "tool_use": "d"}
    assert load_tokenizer(write_folder(tmp_path / "3", files)).templates == expected


@pytest.mark.parametrize(
    ("files", "name", "reason"),
    [
        ({}, "", "has none of tokenizer.json, vocab.txt, or vocab.json with merges.txt"),
        *(
            ({name: ""}, name, "it is not read; save the tokenizer as tokenizer.json with transformers first")
            for name in ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tekken.json")
        ),
        ({"tokenizer.json": "{"}, "tokenizer.json", "it is no tokenizer"),
        ({"tokenizer.json": {"model": {"type": "Magic"}}}, "tokenizer.json", "it is no tokenizer"),
        ({"tokenizer.json": BERT, "tokenizer_config.json": "[]"}, "tokenizer_config.json", "expected a JSON object"),
        (
            {"tokenizer.json": BERT, "tokenizer_config.json": {"do_lower_case": False}},
            "tokenizer_config.json",
            "do_lower_case is False, but True in tokenizer.json",
        ),
        (
            {"tokenizer.json": with_tokens(), "tokenizer_config.json": {"add_prefix_space": True}},
            "tokenizer_config.json",
            "add_prefix_space is True, but False in tokenizer.json",
        ),
        (
            {"tokenizer.json": BERT, "tokenizer_config.json": {"split_special_tokens": True}},
            "tokenizer_config.json",
            "split_special_tokens is true; give encode parse_special=False instead",
        ),
        (
            {"tokenizer.json": BERT, "tokenizer_config.json": {"cls_token": 3}},
            "tokenizer_config.json",
            "cls_token has 3, expected the text of a token",
        ),
        (
            {"tokenizer.json": BERT, "tokenizer_config.json": {"added_tokens_decoder": {"99": {"content": "x"}}}},
            "tokenizer_config.json",
            "the added token 'x' has the id 99, which does not follow the others",
        ),
        (
            {"tokenizer.json": BERT, "tokenizer_config.json": {"added_tokens_decoder": [1]}},
            "tokenizer_config.json",
            "added_tokens_decoder is [1], expected an object",
        ),
        (
            {"tokenizer.json": BERT, "tokenizer_config.json": {"added_tokens_decoder": {"x": {}}}},
            "tokenizer_config.json",
            "added_tokens_decoder has 'x', expected ids",
        ),
        ({"tokenizer.json": BERT, "added_tokens.json": {"x": "1"}}, "added_tokens.json", "it has the id '1'"),
        (
            {"tokenizer.json": BERT, "tokenizer_config.json": {"chat_template": 3}},
            "tokenizer_config.json",
            "the chat template 'default' is no string",
        ),
        (
            {"tokenizer.json": BERT, "tokenizer_config.json": {"chat_template": [{"name": [], "template": ""}]}},
            "tokenizer_config.json",
            "chat_template is a list, expected items with name and template",
        ),
        (
            {"tokenizer.json": BERT, "tokenizer_config.json": {"additional_special_tokens": 3}},
            "tokenizer_config.json",
            "additional_special_tokens is 3, expected a list of tokens",
        ),
        ({"vocab.txt": "a\nb\na\n"}, "vocab.txt", "it has a token twice"),
        ({"vocab.txt": "a\n"}, "vocab.txt", "it lacks the token '[UNK]'"),
        ({"vocab.json": {}, "merges.txt": ""}, "vocab.json", "tokenizer_class is None, expected GPT2Tokenizer"),
        ({**GPT2, "vocab.json": {"a": "b"}}, "vocab.json", "with merges.txt, it makes no tokenizer"),
        ({**GPT2, "merges.txt": "a b c"}, "vocab.json", "with merges.txt, it makes no tokenizer"),
    ],
)
def test_what_is_missing_damaged_or_contradictory_is_refused(
    files: dict[str, Any], name: str, reason: str, tmp_path: Path
):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        load_tokenizer(write_folder(tmp_path, files))
    assert str(tmp_path / name) in str(error.value)
    assert reason in str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path):
    write_folder(tmp_path, GPT2)
    with pytest.raises(ValueError, match=r"^load_tokenizer: .*tokenizer\.json is missing$"):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_bytes_that_are_no_utf_8_are_refused(tmp_path: Path):
    write_folder(tmp_path, GPT2)
    (tmp_path / "merges.txt").write_bytes(b"a b\n\xff")
    with pytest.raises(ValueError, match=r"merges\.txt: it is no UTF-8 at byte 4$"):
        load_tokenizer(tmp_path)
