"""The notebook is made from its text form and executed by the commands of the README, and what it shows is in it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT, read_document

SCRIPTS = Path(sys.executable).parent
COMMANDS = ["jupytext -o notebook.ipynb experiments/notebook.py", "jupyter execute --inplace notebook.ipynb"]

pytest.importorskip("jupytext", reason="jupytext is not installed; pip install -e '.[notebook]'")
pytest.importorskip("nbclient", reason="nbclient is not installed; pip install -e '.[notebook]'")


def test_the_notebook_holds_its_figures_after_it_ran(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    shutil.copy(ROOT / "experiments" / "notebook.py", tmp_path / "experiments")
    readme = read_document("README.md")
    for command in COMMANDS:
        assert f"`.venv/bin/{command}`" in readme
        program, *arguments = command.split()
        found = shutil.which(program, path=SCRIPTS)
        assert found
        done = subprocess.run([found, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    notebook = json.loads((tmp_path / "notebook.ipynb").read_text(encoding="utf-8"))
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    shown = [output["data"] for output in outputs if "data" in output]
    assert [("image/png" in data) for data in shown] == [False, True, True]
    assert shown[0]["text/plain"][0].startswith("GPT: ")
    printed = ["".join(output["text"]) for output in outputs if output.get("name") == "stdout"]
    assert len(printed[0]) > 200
    assert "right" in printed[1]
