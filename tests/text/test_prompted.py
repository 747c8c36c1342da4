import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.text import TokenBatch, prompted_batch
from tests.strategies import seeds

dtypes = st.sampled_from([np.int64, np.uint8, np.uint64])


@given(
    count=st.integers(1, 5),
    prompt=st.integers(1, 5),
    answer=st.integers(1, 5),
    types=st.tuples(dtypes, dtypes),
    seed=seeds,
)
def test_from_the_prompts_last_token_on_the_answer_is_predicted(
    count: int, prompt: int, answer: int, types: tuple[type, type], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    prompts = generator.integers(0, 200, (count, prompt)).astype(types[0])
    answers = generator.integers(0, 200, (count, answer)).astype(types[1])
    kept = prompts.copy(), answers.copy()
    batch = prompted_batch(prompts, answers)
    assert type(batch) is TokenBatch
    assert batch.ids.shape == batch.targets.shape == (count, prompt + answer - 1)
    assert batch.num_targets == count * answer
    for row in range(count):
        whole = [*prompts[row].tolist(), *answers[row].tolist()]
        for t in range(prompt + answer - 1):
            assert batch.ids[row, t] == whole[t]
            assert batch.targets[row, t] == (whole[t + 1] if t + 1 >= prompt else -100)
    np.testing.assert_array_equal(prompts, kept[0])
    np.testing.assert_array_equal(answers, kept[1])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("side", ["prompts", "answers"])
def test_errors_name_the_side(side: str) -> None:
    good = np.arange(6).reshape(2, 3)

    def call(given: object) -> None:
        prompted_batch(**({"prompts": good, "answers": good} | {side: given}))

    with pytest.raises(TypeError, match=f"^prompted_batch: {side} must be an integer array, got float64$"):
        call(good * 1.0)
    with pytest.raises(TypeError, match=f"^prompted_batch: {side} must be an integer array, got list$"):
        call([[1, 2]])
    for wrong in (good[0], good[None]):
        said = rf"{side} must have shape \(b, [pa]\), got {re.escape(str(wrong.shape))}"
        with pytest.raises(ValueError, match=f"^prompted_batch: {said}$"):
            call(wrong)
    said = re.escape(f"{side} must be rows of at least one id, got shape (2, 0)")
    with pytest.raises(ValueError, match=f"^prompted_batch: {said}$"):
        call(good[:, :0])
    with pytest.raises(ValueError, match=f"^prompted_batch: {side} holds -2, expected ids of at least 0$"):
        call(good - 2)


@pytest.mark.usefixtures("unchecked")
def test_there_must_be_as_many_answers_as_prompts() -> None:
    good = np.arange(6).reshape(2, 3)
    expected = r"^prompted_batch: b is 2 in prompts of shape \(2, 3\), but 1 in answers of shape \(1, 3\)$"
    with pytest.raises(ValueError, match=expected):
        prompted_batch(good, good[:1])
