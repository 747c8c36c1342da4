"""The options, the training and the texts of encoder-decoders."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.layers.trace import NO_TRACE
from scratchformer.models import Transformer
from scratchformer.ops import cross_entropy
from scratchformer.recipes.encoder_decoder import CharacterPairs, PairOptions, least_smoothed_loss, pair_trainer

PAIRS = CharacterPairs("cab")
TINY = PairOptions(layers=1, heads=2, width=8, batch=3, warmup=5, threads=1, seed=4)


@given(classes=st.integers(2, 30), smoothing=st.floats(0, 0.99))
def test_the_least_loss_is_that_of_a_model_that_knows_what_smoothing_does(classes: int, smoothing: float) -> None:
    q = np.full(classes, smoothing / classes)
    q[1] += 1 - smoothing
    logits = np.log(np.maximum(q, 1e-300))[None]
    least = float(cross_entropy(logits, np.array([1]), label_smoothing=smoothing)[0])
    assert least_smoothed_loss(classes, smoothing) == pytest.approx(least, abs=1e-9)
    other, _ = cross_entropy(logits + np.arange(classes) / 50, np.array([1]), label_smoothing=smoothing)
    assert float(other) >= least - 1e-12


def test_the_model_is_that_of_the_options() -> None:
    model = pair_trainer(replace(TINY, layers=3, dropout=0.25, norm_first=True), 11).model
    config = model.config
    assert (config.vocabulary_size, config.num_layers, config.num_heads) == (11, 3, 2)
    assert (config.d_model, config.d_hidden, config.dropout, config.norm_first) == (8, 32, 0.25, True)
    one, same, other = (pair_trainer(replace(TINY, seed=seed), 11).model.values for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_loss_is_smoothed_and_padding_is_not_read() -> None:
    trainer = pair_trainer(replace(TINY, label_smoothing=0.3), PAIRS.vocabulary_size)
    batch = PAIRS.batch(["abc", "b"], ["ca", "bbb"])
    loss, _ = trainer.loss(trainer.model, batch, None, NO_TRACE)
    total = 0.0
    for source, target in (("abc", "ca"), ("b", "bbb")):
        one = PAIRS.batch([source], [target])
        logits, _ = trainer.model(one.source, one.target_ids)
        mean, _ = cross_entropy(logits, one.targets, label_smoothing=0.3)
        total += float(mean) * (len(target) + 1)
    assert float(loss) == pytest.approx(total / 7, rel=1e-5)


def test_dropout_is_on_where_a_generator_comes() -> None:
    trainer = pair_trainer(replace(TINY, dropout=0.5), PAIRS.vocabulary_size)
    batch = PAIRS.batch(["abc"], ["cba"])
    losses = [
        float(trainer.loss(trainer.model, batch, generator, NO_TRACE)[0])
        for generator in (None, np.random.default_rng(0))
    ]
    assert losses[0] != losses[1]


def test_the_schedule_is_that_of_the_paper() -> None:
    trainer = pair_trainer(replace(TINY, width=16, warmup=4, rate_factor=2.0), PAIRS.vocabulary_size)
    rates = [trainer.schedule(step) for step in (0, 3, 8)]
    assert rates == pytest.approx([2 / 4 * 1 / 8, 2 / 4 * 4 / 8, 2 / 4 / 3])
    assert trainer.max_norm == 1.0
    assert trainer.num_workers == 1


def test_a_step_trains_and_the_average_is_what_is_evaluated() -> None:
    trainer = pair_trainer(replace(TINY, average=0.5), PAIRS.vocabulary_size)
    before = trainer.model.values.copy()
    batch = PAIRS.batch(["abc", "b"], ["ca", "bbb"])
    with trainer:
        for _ in range(2):
            trainer.step([batch])
    after = trainer.model.values.copy()
    assert not np.array_equal(before, after)
    with trainer.evaluated():
        assert not np.array_equal(trainer.model.values, after)


def test_texts_become_ids_and_their_ends() -> None:
    batch = PAIRS.batch(["ab", "c"], ["c", "ba"])
    assert (PAIRS.begin_id, PAIRS.end_id, PAIRS.vocabulary_size) == (3, 4, 5)
    assert batch.source.tolist() == [[1, 2], [0, 0]]
    assert batch.source_lengths.tolist() == [2, 1]
    assert batch.target_ids.tolist() == [[3, 0, 0], [3, 2, 1]]
    assert batch.targets.tolist() == [[0, 4, -100], [2, 1, 4]]
    with pytest.raises(ValueError, match="text holds 'z' at position 1, which is not in the vocabulary of 3"):
        PAIRS.batch(["az"], ["a"])


def test_found_ids_become_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def translate(model: Transformer, sources: list[np.ndarray], **options: Any) -> list[np.ndarray]:
        asked.update(options, sources=[source.tolist() for source in sources])
        return [np.array([2, 0, 3]), np.array([], int)]

    monkeypatch.setattr("scratchformer.recipes.encoder_decoder.translate", translate)
    model = pair_trainer(TINY, PAIRS.vocabulary_size).model
    assert PAIRS.translate(model, ["a", "bc"], longest=7, width=3) == ["bc?", ""]
    assert asked == {"sources": [[1], [2, 0]], "begin_id": 3, "end_id": 4, "num_tokens": 8, "width": 3}
