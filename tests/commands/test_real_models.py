"""The commands with SmolLM2 and MiniLM themselves, where `pretrained get` has brought them."""

import json
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from scratchformer.commands import chat, embed, generate, pretrained
from scratchformer.pretrained.download import cache_folder
from scratchformer.pretrained.packages import PACKAGES
from tests.annotations import unchecked

pytestmark = [pytest.mark.long, pytest.mark.real]

SENTENCES = [
    "A cat sits on the mat.",
    "The kitten rests on a rug.",
    "Stocks fell sharply on Monday.",
    "Unbelievable! 日本 café, naïve; 12345.",
    "",
    "so long a text " * 100,
]


def path_of(name: str) -> Path:
    """Where a model lies. Skips the test when it is not there."""
    package = PACKAGES[name]
    path = cache_folder() / f"{name}-{package.version}" / package.opens
    if not path.exists():
        pytest.skip(f"{name} is not here; `python -m scratchformer pretrained get {name}` brings it")
    return path


def test_smollm2_answers_and_remembers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path_of("smollm2")
    monkeypatch.setattr(sys, "stdin", StringIO("What is the capital of France?\nAnd what was my question?\n"))
    with unchecked():
        chat.main(["smollm2", "--greedy", "--max-tokens", "40"])
    out, err = capsys.readouterr()
    assert out.startswith("The capital of France is Paris.\n")
    assert "France" in out.splitlines()[1]
    assert "licence Apache-2.0" in err


def test_smollm2_continues_texts_together_as_alone(capsys: pytest.CaptureFixture[str]) -> None:
    path_of("smollm2")
    prompts = ["Once upon a time", "The first ten prime numbers are 2, 3, 5,"]
    together = [word for prompt in prompts for word in ("--prompt", prompt)]
    alone = []
    with unchecked():
        generate.main(["smollm2", *together, "--greedy", "--num-tokens", "20", "--json"])
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        for prompt in prompts:
            generate.main(["smollm2", "--prompt", prompt, "--greedy", "--num-tokens", "20"])
            alone.append(capsys.readouterr().out)
    assert [f"{line['prompt']}{line['text']}\n" for line in found] == alone
    assert " 7, 11, 13, 17, 19" in alone[1]


def test_minilm_gives_the_vectors_that_sentence_transformers_defines(tmp_path: Path) -> None:
    """Means over the tokens of transformers' outputs, divided by their lengths, of texts cut to 256 tokens."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install torch")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed; pip install transformers")
    folder = path_of("minilm")
    with unchecked():
        embed.main(["minilm", *SENTENCES, "--out", str(tmp_path / "vectors.npy")])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    judge = transformers.AutoModel.from_pretrained(folder).double()
    expected = []
    for text in SENTENCES:
        ids = tokenizer(text, truncation=True, max_length=256, padding=False, return_tensors="pt")
        with torch.no_grad():
            mean = judge(**ids).last_hidden_state[0].mean(dim=0)
        expected.append((mean / mean.norm()).numpy())
    found = np.load(tmp_path / "vectors.npy")
    np.testing.assert_allclose(found, np.array(expected), atol=5e-7)


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_real_models_are_described_and_supported(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with unchecked():
        pretrained.main([str(path_of(name))])
    lines = capsys.readouterr().out.splitlines()
    assert "licence      apache-2.0" in lines[1]
    assert lines[-1] == "unsupported  nothing"
