"""Models whose weights are not drawn, because they come from a file."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from scratchformer.layers import Layer, RelativeBias, SelfAttention
from scratchformer.models import GPT, Llama, LlamaConfig
from tests.models.test_gpt_gradients import tiny_gpt
from tests.models.tiny import bert, transformer

Maker = Callable[[np.random.Generator | None], Layer]

MADE: dict[str, Maker] = {
    "GPT": lambda generator: GPT(tiny_gpt(tied_head=False).config, generator=generator),
    "GPT with relative positions": lambda generator: GPT(tiny_gpt(positions="relative").config, generator=generator),
    "Llama": lambda generator: Llama(LlamaConfig(5, 4, 2, 2, 1, 4, 3), generator=generator),
    "BERT": lambda generator: type(bert())(bert(pooler=True).config, generator=generator),
    "Transformer": lambda generator: type(transformer())(transformer().config, generator=generator),
    "SelfAttention": lambda generator: SelfAttention(4, 3, 2, generator=generator),
    "RelativeBias": lambda generator: RelativeBias(2, generator=generator),
}


@pytest.mark.parametrize("name", MADE)
def test_it_has_the_parameters_of_a_drawn_one_with_matrices_at_0(name: str) -> None:
    undrawn, drawn = MADE[name](None), MADE[name](np.random.default_rng(0))
    assert list(undrawn.parameters()) == list(drawn.parameters())
    for key, parameter in drawn.parameters().items():
        found, expected = undrawn.parameters()[key].value, parameter.value
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, 0 * expected if expected.ndim == 2 else expected)
        found[...] = expected
    assert undrawn.astype(np.float64).values.tobytes() == drawn.astype(np.float64).values.tobytes()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_it_takes_no_memory_before_its_values_come() -> None:
    code = """
from pathlib import Path
from scratchformer.models import Llama, LlamaConfig
def peak():  # that of getrusage begins with the peak of the process that started this one
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak()
model = Llama(LlamaConfig(40_000, num_layers=2, num_heads=8, d_model=512), generator=None)
built = peak()
model.values.fill(1)
print((built - before) / (peak() - before))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 0.1
