import math

import numpy as np

from scratchformer.models.decoder_only import DecoderOnly

ENDS_ON_RESIDUAL = ("attention.output.weight", "feed_forward.down.weight")


def initialize_as_gpt2(model: DecoderOnly, generator: np.random.Generator) -> None:
    """Matrices and tables normal with standard deviation 0.02, what ends on the residual stream 0.02 / sqrt(2 layers).

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.3, for the factor of
    each layer; the numbers are those of nanoGPT's model.py.
    """
    for name, parameter in model.parameters().items():
        if parameter.value.ndim == 2:
            std = 0.02 / math.sqrt(2 * len(model.blocks)) if name.endswith(ENDS_ON_RESIDUAL) else 0.02
            parameter.value[...] = std * generator.standard_normal(parameter.value.shape)
