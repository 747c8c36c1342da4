import subprocess
from functools import partial
from pathlib import Path

import pytest

from experiments.speed import against
from experiments.speed.fresh_process import ROOT, ask


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        ([1.1, 1.12, 1.09, 1.1, 1.11], "SLOWER"),
        ([0.9, 0.88, 0.91, 0.9, 0.89], "faster"),
        ([1.01, 1.012, 1.011, 1.01, 1.01], "the same within noise"),
        ([1.1, 0.9, 1.3, 0.8, 1.2], "the same within noise"),
        ([1.06, 1.05, 3.0, 1.06, 1.05], "SLOWER"),
    ],
)
def test_a_difference_counts_if_it_is_beyond_the_noise(ratios: list[float], said: str) -> None:
    assert against.verdict(ratios) == said


place_of_the_package = partial(eval, "__import__('scratchformer').__file__")


def test_processes_of_a_commit_take_its_package() -> None:
    if subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip("the sources are no git repository here")
    with against.package_of(against.name_of("HEAD")) as folder:
        assert Path(ask(place_of_the_package, "look", folder)).parents[1] == folder
    assert Path(ask(place_of_the_package, "look")).parents[1] == ROOT


def test_another_commit_is_one_clear_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        against.main(["--commit", "nowhere"])
    said = f"{against.PROG}: error: --commit nowhere names no commit of a git repository in {ROOT}\n"
    assert capsys.readouterr().err == said
