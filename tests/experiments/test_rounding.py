import sys
from importlib import import_module

import pytest


def test_without_pytorch_it_says_that_it_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "experiments.rounding.subjects", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match=r"^python -m experiments\.rounding: error: it needs PyTorch"):
        import_module("experiments.rounding.subjects")
