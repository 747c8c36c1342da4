import pytest

from scratchformer.gradcheck.numeric.budget import Budget


def test_a_long_check_says_so_beforehand_and_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    budget = Budget("slow", seconds=0.5, spent=0, told=-2.0)
    budget.begin("sample", [9, 9])
    said = capsys.readouterr().err
    assert said == 'slow: up to 400 forward passes of 0.5 s, 200 s in all, effort="directions" takes fewer\n'
    budget.spend()
    budget.spend()
    assert capsys.readouterr().err == "\rslow: 1 of up to 400 forward passes"  # once a second
    budget.end()
    assert capsys.readouterr().err == f"\rslow: 2 forward passes{' ' * 30}\n"


def test_a_short_check_says_nothing_and_less_effort_takes_fewer_passes(capsys: pytest.CaptureFixture[str]) -> None:
    budget = Budget("quick", seconds=1e-3, spent=0, told=-2.0)
    budget.begin("directions", [9] * 8)
    budget.spend()
    budget.end()
    assert (budget.total, budget.left) == (120, 119)
    assert capsys.readouterr().err == ""
