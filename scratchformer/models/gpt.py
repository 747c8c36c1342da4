import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.layers import Dropout, Embedding, Layer, LayerNorm, Linear, TiedLinear, TransformerBlock
from scratchformer.layers.checks import check_probability, check_size
from scratchformer.layers.trace import Trace, record, within
from scratchformer.ops import Backward, cross_entropy
from scratchformer.ops.contract import check_dimensions, check_indices


@dataclass(frozen=True)
class GPTConfig:
    """The sizes and options of a GPT. Raises ValueError for values out of their range."""

    vocabulary_size: int
    """Number of distinct tokens."""
    context_length: int = 1024
    """Longest sequence, in tokens."""
    num_layers: int = 12
    """Number of blocks."""
    num_heads: int = 12
    """Attention heads per block; must divide d_model."""
    d_model: int = 768
    """Width of the residual stream."""
    dropout: float = 0.0
    """Probability of dropping an element, in [0, 1)."""
    bias: bool = True
    """Whether linear maps and norms have biases."""
    tied_head: bool = True
    """Whether the output head is the token embedding's table."""

    def __post_init__(self) -> None:
        check_size(
            "GPTConfig",
            vocabulary_size=self.vocabulary_size,
            context_length=self.context_length,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            d_model=self.d_model,
        )
        check_probability("GPTConfig", dropout=self.dropout)
        if self.d_model % self.num_heads:
            raise ValueError(f"GPTConfig: num_heads {self.num_heads} does not divide d_model {self.d_model}")


class GPT(Layer):
    """GPT-2: token and position embeddings, pre-norm causal blocks with tanh-GELU, a last norm, a linear head.

    Initialised as GPT-2 is: matrices and tables normal with standard deviation 0.02, the projections that end on the
    residual stream 0.02 / sqrt(2 num_layers), biases 0, norms 1.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.3; the numbers of the
    initialisation are those of nanoGPT's model.py.
    """

    def __init__(self, config: GPTConfig, *, generator: np.random.Generator, dtype: DTypeLike = np.float32) -> None:
        self.config = config
        d_model = config.d_model
        self.token_embedding = Embedding(config.vocabulary_size, d_model, generator=generator, dtype=dtype)
        self.position_embedding = Embedding(config.context_length, d_model, generator=generator, dtype=dtype)
        self.dropout = Dropout(config.dropout)
        self.blocks = [
            TransformerBlock(
                d_model,
                config.num_heads,
                4 * d_model,
                activation="gelu_tanh",
                dropout=config.dropout,
                bias=config.bias,
                generator=generator,
                dtype=dtype,
            )
            for _ in range(config.num_layers)
        ]
        self.norm = LayerNorm(d_model, bias=config.bias, dtype=dtype)
        self.head = (
            TiedLinear(self.token_embedding.table)
            if config.tied_head
            else Linear(d_model, config.vocabulary_size, bias=False, generator=generator, dtype=dtype)
        )
        self._initialize(generator)
        self.pack()

    def _initialize(self, generator: np.random.Generator) -> None:
        for name, parameter in self.parameters().items():
            if parameter.value.ndim == 2:
                ends_on_residual = name.endswith(("attention.output.weight", "feed_forward.down.weight"))
                std = 0.02 / math.sqrt(2 * self.config.num_layers) if ends_on_residual else 0.02
                parameter.value[...] = std * generator.standard_normal(parameter.value.shape)

    def __call__(
        self,
        ids: Integer[ndarray, "*batch t"],
        *,
        generator: np.random.Generator | None = None,
        trace: Trace | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t vocabulary"], Backward]:
        """Logits of the next token at every position.

        Args:
            ids: (..., T) token ids, T at most the context length.
            generator: turns dropout on.
            trace: records intermediates; see `Trace`.

        Returns:
            logits (..., T, vocabulary), and `backward(dlogits)`, which adds to every parameter's gradient and
            returns None: ids have no gradient.

        Raises:
            TypeError: ids that are not integers.
            ValueError: a sequence longer than the context, an id out of range.
        """
        check_indices("GPT", "ids", ids, self.config.vocabulary_size)
        check_dimensions("GPT", "ids", ids, 1)
        length = ids.shape[-1]
        if length > self.config.context_length:
            raise ValueError(f"GPT: ids has {length} positions, the context holds {self.config.context_length}")
        tokens, token_backward = self.token_embedding(ids)
        positions, position_backward = self.position_embedding(np.arange(length))
        x, dropout_backward = self.dropout(tokens + positions, generator)
        record(trace, embedded=x)
        block_backwards = []
        for i, block in enumerate(self.blocks):
            x, block_backward = block(x, is_causal=True, generator=generator, trace=within(trace, f"blocks.{i}"))
            block_backwards.append(block_backward)
        x, norm_backward = self.norm(x)
        logits, head_backward = self.head(x)
        record(trace, normed=x, logits=logits)

        def backward(dlogits: ndarray) -> None:
            dx = head_backward(dlogits)
            record(trace, dlogits=dlogits, dnormed=dx)
            dx = norm_backward(dx)
            for block_backward in reversed(block_backwards):
                dx, _ = block_backward(dx)
            record(trace, dembedded=dx)
            dx = dropout_backward(dx)
            position_backward(dx.sum(axis=tuple(range(dx.ndim - 2))))
            token_backward(dx)

        return logits, backward

    def loss(
        self,
        ids: Integer[ndarray, "*batch t"],
        targets: Integer[ndarray, "*batch t"],
        *,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        generator: np.random.Generator | None = None,
        trace: Trace | None = None,
    ) -> tuple[np.inexact, Backward]:
        """Mean cross-entropy of the targets under the logits, in nats, and its `backward(dloss=1.0)`.

        The arguments are those of calling the model and of `cross_entropy`.
        """
        logits, logits_backward = self(ids, generator=generator, trace=trace)
        loss, loss_backward = cross_entropy(logits, targets, ignore_index=ignore_index, label_smoothing=label_smoothing)
        record(trace, loss=np.asarray(loss))

        def backward(dloss: float = 1.0) -> None:
            logits_backward(loss_backward(dloss))

        return loss, backward
