"""What a trace calls the gradient of an intermediate is the derivative by that intermediate."""

from collections.abc import Callable
from fnmatch import fnmatch

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.layers import Trace
from scratchformer.models import GPT, GPTConfig, Llama, LlamaConfig
from tests.gradients import with_random_values
from tests.models.tiny import random_bert, random_transformer

IDS, TARGETS = np.random.default_rng(0).integers(0, 5, (2, 2, 3))
LENGTHS = np.array([3, 2])
MOVED = ("embedded", "*.residual*", "*.*_norm", "*.output", "encoded", "memory", "pooled", "logits")
"""What is mostly recorded before it is used. The others are recorded after that, and cannot be moved any more."""
STEP = 1e-5

Run = Callable[[Trace], tuple[ndarray, Callable[..., object]]]


class Moving(Trace):
    """Moves an intermediate by a step when it is recorded."""

    def __init__(self, name: str, step: ndarray) -> None:
        super().__init__(name)
        self.step = step

    def keep(self, name: str, array: ndarray) -> None:
        array += self.step


def run_of(model: str, norm_first: bool) -> Run:
    """The forward pass of a small model with random parameters, and with dropout that is the same each time."""
    options, generator = {"dropout": 0.2, "norm_first": norm_first}, np.random.default_rng
    match model.split():
        case "Transformer", _:
            loss = random_transformer(**options).loss
            return lambda trace: loss(IDS, IDS, TARGETS, source_lengths=LENGTHS, generator=generator(1), trace=trace)
        case "BERT", method:
            call, arguments = getattr(random_bert(**options), method), (IDS, TARGETS) if method == "loss" else (IDS,)
            return lambda trace: call(*arguments, lengths=LENGTHS, generator=generator(1), trace=trace)
    gpt, llama = GPTConfig(5, 3, 1, 2, 4, **options), LlamaConfig(5, 3, 1, 2, d_model=4, dropout=0.2)
    new = GPT(gpt, generator=generator(0)) if model == "GPT" else Llama(llama, generator=generator(0))
    decoder = with_random_values(new, 0, 0.7)
    return lambda trace: decoder.loss(IDS, TARGETS, generator=generator(1), trace=trace)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("model", ["GPT", "Llama", "Transformer loss", "BERT loss", "BERT classify", "BERT embed"])
def test_it_is_the_derivative_by_what_has_the_name(model: str, norm_first: bool) -> None:
    run, trace, generator = run_of(model, norm_first), Trace(), np.random.default_rng(2)
    y, backward = run(trace)
    dy = generator.standard_normal(y.shape)[()]
    backward(dy)
    compared = []
    for name in [name for name in trace if any(fnmatch(name, pattern) for pattern in MOVED)]:
        path, _, last = name.rpartition(".")
        direction = generator.standard_normal(trace[name].shape)
        above, below = (np.sum(dy * run(Moving(name, sign * STEP * direction))[0]) for sign in (1, -1))
        if above != below:
            expected = (above - below) / (2 * STEP)
            found = np.sum(trace[f"{path}.d{last}".lstrip(".")] * direction)
            assert abs(found - expected) <= 1e-5 * max(1, abs(expected)), name
            compared.append(last)
    assert {"residual", "residual_after_attention", "output"} <= set(compared)
    assert {"embedded", "encoded", "memory"} & set(trace) <= set(compared)
