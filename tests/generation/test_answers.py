import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.generation import generate, greedy, greedy_answers
from tests.generation.setting import CONTEXT, MODELS, VOCABULARY, Spy, tiny
from tests.strategies import seeds


@given(
    name=st.sampled_from([name for name in MODELS if name != "transformer"]),
    count=st.integers(0, 7),
    lengths=st.tuples(st.integers(1, 4), st.integers(1, CONTEXT - 3)),
    batch_size=st.integers(1, 8),
    seed=seeds,
)
def test_each_answer_is_that_of_its_prompt_alone(
    name: str, count: int, lengths: tuple[int, int], batch_size: int, seed: int
) -> None:
    prompt, num_tokens = lengths
    prompts = np.random.default_rng(seed).integers(0, VOCABULARY, (count, prompt))
    model = Spy(tiny(name))
    answers = greedy_answers(model, prompts, num_tokens, batch_size=batch_size)
    assert answers.shape == (count, num_tokens)
    for row in range(count):
        alone = generate(tiny(name), prompts[row], num_tokens, context_length=CONTEXT, choose=greedy, use_cache=False)
        assert answers[row].tolist() == [int(token) for token in alone]
    rows = [min(batch_size, count - start) for start in range(0, count, batch_size)]
    assert model.shapes == [(size, t) for size in rows for t in [prompt] + [1] * (num_tokens - 1)], "each token once"


@pytest.mark.usefixtures("unchecked")
def test_sizes_must_be_at_least_one() -> None:
    prompts = np.zeros((2, 3), int)
    with pytest.raises(ValueError, match=r"^greedy_answers: num_tokens must be at least 1, got 0$"):
        greedy_answers(tiny("learned"), prompts, 0)
    with pytest.raises(ValueError, match=r"^greedy_answers: batch_size must be at least 1, got 0$"):
        greedy_answers(tiny("learned"), prompts, 1, batch_size=0)
    with pytest.raises(TypeError, match=r"^greedy_answers: prompts must be an integer array, got float64$"):
        greedy_answers(tiny("learned"), prompts * 1.0, 1)
