import pytest

pytest.importorskip("torch", reason="PyTorch is not installed; pip install -e '.[parity]'")

from experiments.rounding import __main__ as rounding


def test_errors_in_float32_are_those_of_pytorch_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    names = [subject.name for subject in rounding.SUBJECTS if not subject.name.endswith("attention")]
    rounding.main(
        ["--only", *names, "--widths", "768", "4096", "--offsets", "0", "1e4", "--spreads", "1", "--seeds", "4"]
    )
    assert capsys.readouterr().out.count("as expected") == len(names)


def test_an_error_that_is_too_large_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounding, "SMALL", 0.0)
    monkeypatch.setattr(rounding, "FACTOR", 0.0)
    with pytest.raises(SystemExit, match="are larger than expected"):
        rounding.main(["--only", "softmax", "--preset", "smoke"])
    assert "too large: softmax, output, width 3, offset 0, spread 1: ours" in capsys.readouterr().out
