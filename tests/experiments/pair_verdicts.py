"""The verdict on encoder-decoders that are right or wrong by hand."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from scratchformer.analysis.alignment import Alignment
from scratchformer.recipes.encoder_decoder import CharacterPairs
from scratchformer.recipes.experiment import Experiment
from scratchformer.runs import RunFolder

judged_or_not = pytest.mark.parametrize(
    ("name", "options", "is_judged"),
    [
        ("quick", {"seed": 7, "threads": 1, "evaluate_every": 5, "save_every": 7, "out": Path("x")}, True),
        ("paper", {}, True),
        *(("quick", options, False) for options in ({"steps": 1999}, {"beam": 3}, {"tests": 990}, {"width": 32})),
    ],
)
"""Changed options of a preset, and whether a target is known for them."""


def passed(
    module: ModuleType, run: Experiment, right: Sequence[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> list[bool | None]:
    """Whether the run passes where a hundredth of its answers is wrong, and where one more is."""
    monkeypatch.setattr(module, "load_encoder_decoder", lambda path: None)
    monkeypatch.setattr(module, "measure_alignment", lambda *given: Alignment({"x": np.zeros((1, 1))}, {"x": 0.5}))
    found = []
    for num_wrong in (len(right) // 100, len(right) // 100 + 1):
        answers = ["?"] * num_wrong + list(right[num_wrong:])
        monkeypatch.setattr(CharacterPairs, "translate", lambda *given, answers=answers, **more: answers)
        share, *others = run.judge(RunFolder(place / str(num_wrong), "run"))
        assert {result.target for result in others} == {None}
        found.append(share.passed)
    return found
