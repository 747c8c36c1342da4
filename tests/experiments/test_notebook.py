"""The notebook is executed from its text form, and what it shows is in it."""

from pathlib import Path

import pytest

from tests.documents import ROOT

jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed; pip install -e '.[notebook]'")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed; pip install -e '.[notebook]'")


def test_the_notebook_holds_its_figures_after_it_ran(tmp_path: Path) -> None:
    notebook = jupytext.read(ROOT / "experiments" / "notebook.py")
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output.data for output in outputs if "data" in output]
    assert [("image/png" in data) for data in shown] == [False, True, True]
    assert shown[0]["text/plain"].startswith("GPT: ")
    printed = [output.text for output in outputs if output.get("name") == "stdout"]
    assert len(printed[0]) > 200
    assert "right" in printed[1]
