from typing import Any

import numpy as np

from scratchformer.layers import Dropout, Layer, LayerNorm, Linear
from scratchformer.models import GPT, GPTConfig


def gpt(**options: Any) -> GPT:
    return GPT(GPTConfig(5, context_length=4, num_layers=3, num_heads=2, d_model=4, **options), generator=None)


def test_a_model_prints_its_sizes_and_the_parameters_of_its_parts() -> None:
    assert (
        repr(gpt(bias=False))
        == str(gpt(bias=False))
        == (
            "GPT: 640 parameters, float32\n"
            "  vocabulary_size=5, context_length=4, num_layers=3, num_heads=2, d_model=4, bias=False\n"
            "  token_embedding      20\n"
            "  position_embedding   16\n"
            "  blocks              600  3 x 200\n"
            "  norm                  4"
        )
    )


def test_what_the_parts_have_adds_up() -> None:
    model = gpt(tied_head=False)
    counts = [int(line.split()[1].replace(",", "")) for line in repr(model).splitlines()[2:]]
    assert sum(counts) == model.values.size


def test_a_layer_without_configuration_or_parameters_prints_what_there_is() -> None:
    class Own(Layer):
        def __init__(self) -> None:
            self.maps = [Linear(2, 3, generator=None, dtype=np.float64), LayerNorm(2)]

    assert repr(Own()) == "Own: 13 parameters, float32 and float64\n  maps  13  2 of them"
    assert repr(Dropout(0.1)) == "Dropout: 0 parameters"


def test_a_layer_that_is_no_part_of_training_prints_that() -> None:
    class Store(Layer):
        def _children(self) -> dict[str, object]:
            raise TypeError("no parameters")

    assert repr(Store()) == "Store: a read-only store of weights"
