"""Settings of a `generation_config.json`, as we and Hugging Face's transformers understand them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.generation import GenerationSettings, Sampling, TokensSoFar
from scratchformer.generation.restrictions import restricted
from tests.generation.setting import VOCABULARY
from tests.strategies import normal, seeds

pytestmark = pytest.mark.long

tokens = st.integers(1, VOCABULARY - 1)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "do_sample": st.booleans(),
    "temperature": st.floats(0.3, 3.0),
    "top_k": st.integers(0, 9),
    "top_p": st.floats(0.05, 1.0),
    "min_p": st.floats(0.0, 0.9),
    "repetition_penalty": st.floats(0.5, 2.0),
    "no_repeat_ngram_size": st.integers(0, 3),
    "bad_words_ids": st.lists(st.lists(st.integers(3, VOCABULARY - 1), min_size=1, max_size=3), min_size=1, max_size=2),
    "min_length": st.integers(0, 6),
    "min_new_tokens": st.integers(0, 4),
    "suppress_tokens": st.lists(st.integers(3, VOCABULARY - 1), max_size=1),
    "begin_suppress_tokens": st.lists(st.integers(3, VOCABULARY - 1), max_size=1),
    "eos_token_id": st.integers(1, 2) | st.lists(st.integers(1, 2), min_size=1, max_size=2, unique=True),
}


@settings(max_examples=300)
@given(
    values=st.fixed_dictionaries({}, optional=VALUES),
    rows=st.integers(1, 3),
    prompt=st.integers(1, 4),
    num_new=st.integers(0, 3),
    seed=seeds,
)
def test_processed_logits_are_those_of_transformers(
    values: dict[str, Any], rows: int, prompt: int, num_new: int, seed: int
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install -e '.[parity]'")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed; pip install transformers")
    (logits,) = normal(seed, (rows, VOCABULARY), scale=2.0)
    ids = np.random.default_rng(seed).integers(0, VOCABULARY, (rows, prompt + num_new))

    config = transformers.GenerationConfig(**values)
    config.update(**config._get_default_generation_params(), defaults_only=True)
    if config.min_new_tokens is not None:
        config.min_length = config.min_new_tokens + prompt
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=VOCABULARY, n_layer=1, n_head=1, n_embd=2, n_positions=8)
    )
    model._prepare_special_tokens(config, kwargs_has_attention_mask=True)
    processors = model._get_logits_processor(config, input_ids_seq_length=prompt, model_kwargs={})
    theirs = processors(torch.tensor(ids), torch.tensor(logits)).numpy()
    if np.isnan(theirs).any() or (theirs == -np.inf).all(axis=-1).any():
        return

    ours = GenerationSettings.from_json(values)
    so_far = TokensSoFar(ids, np.full(rows, prompt + num_new), num_new)
    found = restricted("generate", logits, so_far, ours.restrictions(), np.zeros(rows, bool))
    choose = ours.choose(np.random.default_rng(seed))
    if isinstance(choose, Sampling):
        found = choose.scores(found)
    np.testing.assert_allclose(found, theirs, rtol=1e-6)
