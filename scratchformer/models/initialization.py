"""How GPT, Llama and BERT start. Without a generator nothing is drawn, and matrices and tables stay 0."""

import math

import numpy as np

from scratchformer.layers import Layer
from scratchformer.models.decoder_only import DecoderOnly

ENDS_ON_RESIDUAL = ("attention.output.weight", "feed_forward.down.weight")


def initialize_as_gpt2(model: DecoderOnly, generator: np.random.Generator | None) -> None:
    """Draws matrices and tables: normal with standard deviation 0.02, or 0.02 / sqrt(2 num_layers) for the projections
    whose output is added to the residual stream.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.3, for
    1 / sqrt(number of additions to the stream); the numbers are those of nanoGPT's model.py.
    """
    _draw(model, generator, 0.02 / math.sqrt(2 * len(model.blocks)))


def initialize_as_bert(model: Layer, generator: np.random.Generator | None) -> None:
    """Draws matrices and tables: normal with standard deviation 0.02."""
    _draw(model, generator, 0.02)


def _draw(model: Layer, generator: np.random.Generator | None, std_on_residual: float) -> None:
    if generator is None:
        return
    for name, parameter in model.parameters().items():
        if parameter.value.ndim == 2:
            std = std_on_residual if name.endswith(ENDS_ON_RESIDUAL) else 0.02
            parameter.value[...] = std * generator.standard_normal(parameter.value.shape)
