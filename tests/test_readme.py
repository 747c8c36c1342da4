import re
from pathlib import Path
from typing import Any

import pytest

from tests.annotations import unchecked

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
EXCERPTS = {
    "def softmax(x)": "scratchformer/ops/softmax.py",
    "query_backward = ": "scratchformer/layers/self_attention.py",
}


def test_every_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    assert len(FENCES) == 9
    namespace: dict[str, Any] = {}
    with unchecked():
        for fence in FENCES:
            exec(fence, namespace)
    assert namespace["dquery"].shape == namespace["query"].shape
    assert namespace["loss"] < 4.0
    assert (namespace["same_model"].values == namespace["model"].values).all()
    assert namespace["weights"].shape == (8, 4, 64, 64)
    assert namespace["dresidual"].shape == (8, 64, 32)
    (diagnosis,) = re.findall(r"^```text\n(softmax_by_batch: WRONG\n.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert capsys.readouterr().out.startswith(diagnosis)
    assert len(namespace["tokens"]) == len(namespace["beams"]) == 2
    namespace["test_squash"]()


@pytest.mark.parametrize(("start", "file"), EXCERPTS.items())
def test_what_is_shown_of_a_file_stands_in_it(start: str, file: str) -> None:
    (fence,) = [fence for fence in FENCES if start in fence]
    source = (ROOT / file).read_text(encoding="utf-8")
    lines = [line.strip() for line in fence.splitlines() if line.strip() and not line.strip().startswith("def ")]
    places = [source.find(line) for line in lines]
    assert -1 not in places
    assert places == sorted(places)


def test_every_link_and_path_exists() -> None:
    paths = re.findall(r"\]\(([^)]+)\)", README) + re.findall(r"`((?:scratchformer|experiments|tests)/[^`]*)`", README)
    assert paths
    for path in paths:
        assert (ROOT / path).exists(), path
