import re

import pytest

from scratchformer.runs import Training
from scratchformer.runs.estimate import estimate, in_words
from tests.runs.setting import EVALUATION, trainer
from tests.training.setting import ragged_batches


def test_an_estimate_counts_what_is_left_and_changes_no_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = trainer()
    before = trained.model.values.copy(), trained.average.values.copy()
    ticks = iter([10.0, 12.0, 13.0])  # a step takes two seconds, the loss of a batch one
    monkeypatch.setattr("scratchformer.runs.estimate.perf_counter", lambda: next(ticks))
    trained.optimizer.num_steps = 4
    said = estimate(Training(trained, lambda step: ragged_batches(step, 2), EVALUATION), 14, 4)
    seconds = (14 - 4) * 2 + 3 * len(EVALUATION)  # evaluated after the steps 8, 12 and 14
    assert re.fullmatch(rf"it takes about {seconds} s( and \d+ MB of memory)?", said)
    assert (trained.model.values == before[0]).all()
    assert (trained.average.values == before[1]).all()
    assert trained.optimizer.num_steps == 4


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (89.6, "90 s"), (90, "1.5 min"), (600, "10 min"), (8280, "2.3 h")]
)
def test_times_are_in_words(seconds: float, said: str) -> None:
    assert in_words(seconds) == said
