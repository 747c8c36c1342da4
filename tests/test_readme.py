import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from scratchformer.__main__ import COMMANDS
from tests.annotations import unchecked
from tests.documents import ROOT, code_without_docstring, fences, named_modules, named_paths, read_document

README = read_document("README.md")
SOFTMAX, *EXAMPLES = fences(README, "python")


def test_the_op_is_shown_as_it_stands_in_its_file() -> None:
    assert code_without_docstring("scratchformer/ops/softmax.py", "softmax") == SOFTMAX


def test_every_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    assert len(EXAMPLES) == 5
    namespace: dict[str, Any] = {}
    with unchecked():
        for example in EXAMPLES:
            exec(example, namespace)
    assert namespace["dquery"].shape == namespace["query"].shape
    assert namespace["loss"] < 4.0
    assert (namespace["same_model"].values == namespace["model"].values).all()
    assert namespace["weights"].shape == (8, 4, 64, 64)
    assert namespace["dresidual"].shape == (8, 64, 32)
    (diagnosis,) = [block for block in fences(README, "text") if block.startswith("softmax_by_batch: WRONG")]
    assert capsys.readouterr().out.startswith(diagnosis)
    assert len(namespace["tokens"]) == 2
    namespace["test_squash"]()


def test_every_link_path_and_command_exists() -> None:
    assert len(named_paths(README)) > 20
    assert [path for path in sorted(named_paths(README)) if not (ROOT / path).exists()] == []
    assert [module for module in sorted(named_modules(README)) if find_spec(module) is None] == []
    assert set(re.findall(r"-m scratchformer (\w+)", README)) == set(COMMANDS)
    assert len(README.splitlines()) <= 275
