from dataclasses import replace

import numpy as np
import pytest

from scratchformer.models import GPT, Llama
from scratchformer.optim import SGD, Adam, AdamW, Muon, WarmupCosine
from scratchformer.recipes.language_model import LanguageModelOptions, language_model, language_model_trainer

TINY = LanguageModelOptions(model="gpt", layers=2, heads=2, width=8, context=5, steps=30, warmup=3)


@pytest.mark.parametrize("positions", ["learned", "none", "rotary"])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["gelu_tanh", "swiglu"])
def test_the_model_is_what_the_options_say(positions: str, norm_first: bool, activation: str) -> None:
    made = {"positions": positions, "norm_first": norm_first, "activation": activation}
    options = replace(TINY, dropout=0.2, bias=True, seed=4, **made)
    model = language_model(options, 7)
    assert isinstance(model, GPT)
    assert {name: getattr(model.config, name) for name in made} == made
    sizes = {"vocabulary_size": 7, "context_length": 5, "num_layers": 2, "num_heads": 2, "d_model": 8}
    assert {name: getattr(model.config, name) for name in sizes} == sizes
    assert (model.config.dropout, model.config.bias, model.config.tied_head) == (0.2, True, True)
    np.testing.assert_array_equal(model.values, language_model(options, 7).values)
    assert (model.values != language_model(replace(options, seed=5), 7).values).any()


def test_a_llama_is_one_of_the_same_sizes() -> None:
    model = language_model(replace(TINY, model="llama", dropout=0.2), 7)
    assert isinstance(model, Llama)
    assert (model.config.d_model, model.config.num_layers, model.config.num_heads) == (8, 2, 2)
    assert (model.config.context_length, model.config.dropout, model.config.tied_head) == (5, 0.2, True)
    assert model.config.qk_norm
    assert not language_model(replace(TINY, model="llama", qk_norm=False), 7).config.qk_norm


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("muon", Muon, {"betas": (0.8, 0.95), "weight_decay": 0.3}),
        ("adamw", AdamW, {"betas": (0.8, 0.95), "weight_decay": 0.3}),
        ("adam", Adam, {"betas": (0.8, 0.95)}),
        ("momentum", SGD, {"momentum": 0.8}),
        ("sgd", SGD, {"momentum": 0.0}),
    ],
)
def test_the_optimizer_is_what_the_options_say(name: str, kind: type, settings: dict[str, object]) -> None:
    options = replace(TINY, optimizer=name, betas=(0.8, 0.95), weight_decay=0.3)
    optimizer = language_model_trainer(options, 7).optimizer
    assert type(optimizer) is kind
    assert {name: getattr(optimizer, name) for name in settings} == settings


def test_training_is_what_the_options_say() -> None:
    options = replace(TINY, learning_rate=0.2, final_learning_rate=0.1, clip=0.7, average=0.4, threads=3, seed=6)
    trainer = language_model_trainer(options, 7)
    assert trainer.schedule == WarmupCosine(0.2, 0.1, 3, 30)
    assert trainer.max_norm == 0.7
    assert trainer.average is not None
    assert trainer.average.decay == 0.4
    assert (trainer.num_workers, trainer.seed) == (3, 6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "llama", "bias": True}, "--model llama has no --bias, and heads of an even width"),
        ({"model": "llama", "heads": 8}, "--model llama has no --bias, and heads of an even width"),
        (
            {"model": "llama", "activation": "swiglu"},
            "--model llama has positions, norms and an activation of its own; --model gpt has a choice",
        ),
    ],
)
def test_a_llama_has_its_own_of_what_a_gpt_may_choose(options: dict[str, object], said: str) -> None:
    TINY.check()
    with pytest.raises(ValueError, match=f"^{said}$"):
        replace(TINY, **options).check()
