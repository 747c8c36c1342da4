import json
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.commands import embed as embed_command
from scratchformer.models import BERT
from tests.annotations import unchecked
from tests.commands.small_models import encoder, language_model
from tests.pretrained.small_tokenizers import WORD_PIECES

IDS = {token: i for i, token in enumerate(WORD_PIECES)}
TEXTS = {
    "hello": [2, IDS["hello"], 3],
    "Hello, world!": [2, IDS["hello"], IDS[","], IDS["world"], IDS["!"], 3],
    "the " * 20: [2, *[IDS["the"]] * 8, 3],
    "": [2, 3],
}
"""Texts and their tokens, cut to ten."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BERT]:
    folder = tmp_path_factory.mktemp("small")
    return folder, encoder(folder)


def run(*arguments: str | Path) -> None:
    with unchecked():
        embed_command.main([*map(str, arguments)])


def means(model: BERT) -> ndarray:
    """The mean of the tokens' vectors, each text alone."""
    with unchecked():
        return np.array([model(np.array(ids))[0].mean(axis=0) for ids in TEXTS.values()])


def test_vectors_are_normalized_means_and_long_texts_are_cut(
    small: tuple[Path, BERT], capsys: pytest.CaptureFixture[str]
) -> None:
    run(small[0], *TEXTS)
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["text"] for line in lines] == list(TEXTS)
    expected = means(small[1])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose([line["vector"] for line in lines], expected, atol=1e-6)
    assert err == "[cut to the 10 tokens that the model reads: texts 3]\n"


def test_the_folder_says_how_tokens_become_one_vector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = encoder(tmp_path)
    steps = json.loads((tmp_path / "modules.json").read_text())
    (tmp_path / "modules.json").write_text(json.dumps(steps[:2]))
    (tmp_path / "1_Pooling" / "config.json").write_text('{"embedding_dimension": 8, "pooling_mode": "cls"}')
    prompts = {"prompts": {"query": "the "}, "default_prompt_name": "query"}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    run(tmp_path, "hello")
    ids = np.array([2, IDS["the"], IDS["hello"], 3])
    with unchecked():
        np.testing.assert_allclose(json.loads(capsys.readouterr().out)["vector"], model(ids)[0][0], atol=1e-6)
    (tmp_path / "modules.json").unlink()
    run(tmp_path, "hello")
    with unchecked():
        expected = model(ids)[0].mean(axis=0)
    np.testing.assert_allclose(json.loads(capsys.readouterr().out)["vector"], expected, atol=1e-6)


def test_lines_of_stdin_go_to_a_file(
    small: tuple[Path, BERT], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(small[0], "hello", "world", "--out", tmp_path / "typed.npy")
    monkeypatch.setattr(sys, "stdin", StringIO("hello\nworld\n"))
    run(small[0], "--out", tmp_path / "lines.npy")
    typed, lines = np.load(tmp_path / "typed.npy"), np.load(tmp_path / "lines.npy")
    assert (typed == lines).all()
    assert typed.shape == (2, 8)
    assert capsys.readouterr().out.splitlines()[1] == f"vectors: {tmp_path / 'lines.npy'}"


def test_similarity_is_the_cosine_of_each_two(small: tuple[Path, BERT], capsys: pytest.CaptureFixture[str]) -> None:
    run(small[0], *TEXTS, "--similarity")
    rows = [line.split()[1:5] for line in capsys.readouterr().out.splitlines()]
    vectors = means(small[1])
    lengths = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(np.array(rows, float), vectors @ vectors.T / np.outer(lengths, lengths), atol=6e-4)
    assert (embed_command.cosines(np.array([[0.0, 0.0], [3.0, 4.0]])) == [[0, 0], [0, 1]]).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling_mode is 'max_tokens', expected one of"),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "cls"]}, "pooling_mode is ['mean', 'cls'], expected one"),
        ("1_Pooling/config.json", {"pooling_mode": "mean", "x": 1}, "x is 1, expected no such option: nothing else"),
        ("modules.json", [{"path": "", "type": "a.Transformer"}, {"path": "1", "type": "a.Dense"}], "the steps ['Tr"),
        ("modules.json", [{"path": "", "type": "Transformer"}, {"path": "../x", "type": "Pooling"}], "the paths ['"),
        ("modules.json", {}, "expected a JSON list, got a dict"),
        ("modules.json", [1], "has the step 1, expected an object with type and path"),
        ("sentence_bert_config.json", {"max_seq_length": "9"}, "the longest text is '9', expected a number of tokens"),
        (
            "sentence_bert_config.json",
            {"query_length": 5},
            "query_length is 5, expected None: nothing else is supported",
        ),
        ("sentence_bert_config.json", {"do_lower_case": 1}, "do_lower_case is 1, expected true or false"),
        (
            "config_sentence_transformers.json",
            {"default_prompt_name": "a"},
            "default_prompt_name is 'a', expected null",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    name: str, content: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder(tmp_path)
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, "hello")
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_bad_options_and_models_get_one_sentence(
    small: tuple[Path, BERT], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    language_model(tmp_path / "llama")
    monkeypatch.setattr(sys, "stdin", StringIO(""))
    for arguments, message in [
        ([small[0], "a", "--out", "x.txt"], "--out must name an npy file, such as vectors.npy, got x.txt"),
        ([small[0], "a", "--out", "no/x.npy"], "--out no/x.npy: there is no folder no"),
        ([small[0]], "there is no text; give some behind the model, or on stdin"),
        ([tmp_path / "llama", "a"], f"{tmp_path / 'llama'} holds a language model, Llama, expected an encoder such as"),
        ([small[0] / "config.json", "a"], f"{small[0] / 'config.json'} is no folder, expected one of Hugging Face's"),
    ]:
        with pytest.raises(SystemExit) as ended:
            run(*arguments)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err
