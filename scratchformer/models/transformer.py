import math
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from jaxtyping import Inexact, Integer, Shaped
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.layers import Dropout, Embedding, Layer, TiedLinear, TransformerBlock
from scratchformer.layers.cache import KeyValueCache, refuse_backward
from scratchformer.layers.checks import check_probability, check_size
from scratchformer.layers.feed_forward import Activation
from scratchformer.layers.normalization import Norm, make_norm
from scratchformer.layers.trace import Trace, record, within
from scratchformer.ops import Backward, cross_entropy, padding_mask, sinusoidal_positions
from scratchformer.ops.contract import check_dimensions, check_indices, check_shape


@dataclass(frozen=True)
class TransformerConfig:
    """The sizes and options of an encoder-decoder. Raises ValueError for values out of their range."""

    vocabulary_size: int
    """Number of distinct tokens, shared by source and target."""
    num_layers: int = 6
    """Blocks of the encoder, and of the decoder."""
    num_heads: int = 8
    """Attention heads per block; must divide d_model."""
    d_model: int = 512
    """Width of the residual streams; even."""
    d_hidden: int = 2048
    """Width inside the feed-forward maps."""
    dropout: float = 0.1
    """Probability of dropping an element, in [0, 1)."""
    norm_first: bool = False
    """Pre-norm, with one more norm at each end; or post-norm, as published."""
    norm: Norm = "layer"
    """Which norm."""
    activation: Activation = "relu"
    """Of the feed-forward maps."""
    bias: bool = True
    """Whether linear maps and norms have biases."""

    def __post_init__(self) -> None:
        sizes = ("vocabulary_size", "num_layers", "num_heads", "d_model", "d_hidden")
        check_size("TransformerConfig", **{name: getattr(self, name) for name in sizes})
        check_probability("TransformerConfig", dropout=self.dropout)
        for name, known in (("norm", get_args(Norm)), ("activation", get_args(Activation))):
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"TransformerConfig: {name} must be one of {list(known)}, got {value!r}")
        if self.d_model % self.num_heads or self.d_model % 2:
            raise ValueError(
                f"TransformerConfig: d_model {self.d_model} must be even and a multiple of num_heads {self.num_heads}"
            )


class Transformer(Layer):
    """The encoder-decoder of "Attention Is All You Need": post-norm, sinusoidal positions, one table for everything.

    The table embeds source and target, times sqrt(d_model), and is the output head. It starts normal with standard
    deviation 1 / sqrt(d_model), linear maps as `Linear` does.

    Source: Vaswani et al., 2017, sections 3.1 to 3.5 and 5.4.
    """

    def __init__(
        self, config: TransformerConfig, *, generator: np.random.Generator, dtype: DTypeLike = np.float32
    ) -> None:
        self.config = config
        d_model = config.d_model
        self.token_embedding = Embedding(config.vocabulary_size, d_model, generator=generator, dtype=dtype)
        self.token_embedding.table.value /= math.sqrt(d_model)
        self.dropout = Dropout(config.dropout)

        def new_block(*, cross_attention: bool) -> TransformerBlock:
            return TransformerBlock(
                d_model,
                config.num_heads,
                config.d_hidden,
                norm_first=config.norm_first,
                norm=config.norm,
                activation=config.activation,
                cross_attention=cross_attention,
                dropout=config.dropout,
                bias=config.bias,
                generator=generator,
                dtype=dtype,
            )

        def last_norm() -> Any:
            return (
                make_norm(config.norm, d_model, bias=config.bias, eps=None, dtype=dtype) if config.norm_first else None
            )

        self.encoder = [new_block(cross_attention=False) for _ in range(config.num_layers)]
        self.encoder_norm = last_norm()
        self.decoder = [new_block(cross_attention=True) for _ in range(config.num_layers)]
        self.decoder_norm = last_norm()
        self.head = TiedLinear(self.token_embedding.table)
        self.pack()

    def __call__(
        self,
        source: Integer[ndarray, "*batch t_source"],
        ids: Integer[ndarray, "*batch t"],
        *,
        source_lengths: Integer[ndarray, "*batch"] | None = None,
        generator: np.random.Generator | None = None,
        trace: Trace | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t vocabulary"], Backward]:
        """Logits of the next target token at every position, given the source and the target tokens so far.

        Args:
            source: (..., T_source) token ids, padded on the right to one length.
            ids: (..., T) target ids, beginning with the one that marks the beginning; padding on the right needs no
                mask, as what comes later is never looked at.
            source_lengths: (batch,) how many tokens of each source are no padding, for a source (batch, T_source);
                None for all.
            generator: turns dropout on.
            trace: records intermediates, under `encoder.` and `decoder.`; see `Trace`.

        Returns:
            logits (..., T, vocabulary), and `backward(dlogits)`, which adds to every parameter's gradient and returns
            None: ids have no gradient.

        Raises:
            TypeError: ids or lengths that are not integers.
            ValueError: an id or a length out of range, lengths of another shape.
        """
        memory_mask = self._mask(source, source_lengths)
        memory, encoder_backward = self.encode(source, memory_mask, generator=generator, trace=trace)
        logits, decoder_backward = self.decode(ids, memory, memory_mask, generator=generator, trace=trace)

        def backward(dlogits: ndarray) -> None:
            encoder_backward(decoder_backward(dlogits))

        return logits, backward

    def loss(
        self,
        source: Integer[ndarray, "*batch t_source"],
        ids: Integer[ndarray, "*batch t"],
        targets: Integer[ndarray, "*batch t"],
        *,
        source_lengths: Integer[ndarray, "*batch"] | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        generator: np.random.Generator | None = None,
        trace: Trace | None = None,
    ) -> tuple[np.inexact, Backward]:
        """Mean cross-entropy of the targets under the logits, in nats, and its `backward(dloss=1.0)`.

        The arguments are those of calling the model and of `cross_entropy`.
        """
        options: dict[str, Any] = {"source_lengths": source_lengths, "generator": generator, "trace": trace}
        logits, logits_backward = self(source, ids, **options)
        loss, loss_backward = cross_entropy(logits, targets, ignore_index=ignore_index, label_smoothing=label_smoothing)
        record(trace, loss=np.asarray(loss))

        def backward(dloss: float = 1.0) -> None:
            logits_backward(loss_backward(dloss))

        return loss, backward

    def encode(
        self,
        source: Integer[ndarray, "*batch t_source"],
        mask: Shaped[ndarray, "..."] | None = None,
        *,
        generator: np.random.Generator | None = None,
        trace: Trace | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t_source d"], Backward]:
        """The encoder's output, which the decoder attends to, and `backward(dmemory)`, which returns None.

        `mask` is boolean, True where a source token may be attended to; see `padding_mask`.
        """
        x, embedding_backward = self._embed("source", source, 0, generator)
        backwards = []
        for i, block in enumerate(self.encoder):
            x, block_backward = block(x, mask, generator=generator, trace=within(trace, f"encoder.{i}"))
            backwards.append(block_backward)
        memory, norm_backward = (x, _as_it_is) if self.encoder_norm is None else self.encoder_norm(x)
        record(trace, memory=memory)

        def backward(dmemory: ndarray) -> None:
            dx = norm_backward(dmemory)
            for block_backward in reversed(backwards):
                dx, *_ = block_backward(dx)
            embedding_backward(dx)

        return memory, backward

    def decode(
        self,
        ids: Integer[ndarray, "*batch t"],
        memory: Inexact[ndarray, "*batch t_source d"] | None = None,
        memory_mask: Shaped[ndarray, "..."] | None = None,
        *,
        mask: Shaped[ndarray, "..."] | None = None,
        positions: Integer[ndarray, "..."] | None = None,
        generator: np.random.Generator | None = None,
        trace: Trace | None = None,
        cache: KeyValueCache | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t vocabulary"], Backward]:
        """Logits of the next target token at every position, and `backward(dlogits)` giving `dmemory`.

        With a cache, as `new_cache` makes it, memory and its mask are those in there, and there is no backward.
        """
        if cache is not None:
            memory, memory_mask = cache.memory, cache.memory_mask
        if memory is None:
            raise ValueError("Transformer: memory is None, expected the encoder's output or a cache that holds it")
        x, embedding_backward = self._embed("ids", ids, 0 if cache is None else cache.length, generator, positions)
        backwards = []
        for i, block in enumerate(self.decoder):
            parts: dict[str, Any] = {"trace": within(trace, f"decoder.{i}"), "cache": within(cache, f"decoder.{i}")}
            x, block_backward = block(x, mask, memory, memory_mask, is_causal=True, generator=generator, **parts)
            backwards.append(block_backward)
        x, norm_backward = (x, _as_it_is) if self.decoder_norm is None else self.decoder_norm(x)
        logits, head_backward = self.head(x)
        record(trace, logits=logits)
        if cache is not None:
            return logits, refuse_backward

        def backward(dlogits: ndarray) -> ndarray:
            record(trace, dlogits=dlogits)
            dx = norm_backward(head_backward(dlogits))
            dmemories = []
            for block_backward in reversed(backwards):
                dx, _, dmemory, _ = block_backward(dx)
                dmemories.append(dmemory)
            embedding_backward(dx)
            dmemory = sum(dmemories[1:], start=dmemories[0])
            record(trace, dmemory=dmemory)
            return dmemory

        return logits, backward

    def new_cache(
        self,
        source: Integer[ndarray, "*batch t_source"],
        source_lengths: Integer[ndarray, "*batch"] | None = None,
        *,
        capacity: int,
    ) -> KeyValueCache:
        """A cache for decoding at most `capacity` target tokens of each source, with the encoder's output in it."""
        mask = self._mask(source, source_lengths)
        memory, _ = self.encode(source, mask)
        return KeyValueCache(capacity, memory, mask)

    def _mask(self, source: ndarray, source_lengths: ndarray | None) -> ndarray | None:
        check_indices("Transformer", "source", source, self.config.vocabulary_size)
        check_dimensions("Transformer", "source", source, 1)
        if source_lengths is None:
            return None
        mask = padding_mask(source_lengths, source.shape[-1])
        check_shape("Transformer", "source_lengths", source_lengths, source.shape[:-1])
        return mask

    def _embed(
        self,
        name: str,
        ids: ndarray,
        start: int,
        generator: np.random.Generator | None,
        positions: ndarray | None = None,
    ) -> tuple[ndarray, Backward]:
        check_indices("Transformer", name, ids, self.config.vocabulary_size)
        check_dimensions("Transformer", name, ids, 1)
        scale = math.sqrt(self.config.d_model)
        positions = np.arange(start, start + ids.shape[-1]) if positions is None else positions
        if np.shape(positions) not in (ids.shape, ids.shape[-1:]):
            raise ValueError(
                f"Transformer: positions has shape {np.shape(positions)}, "
                f"expected {ids.shape[-1:]} or that of {name} {ids.shape}"
            )
        tokens, token_backward = self.token_embedding(ids)
        table = sinusoidal_positions(positions, self.config.d_model, dtype=tokens.real.dtype)
        x, dropout_backward = self.dropout(tokens * scale + table, generator)
        return x, lambda dx: token_backward(dropout_backward(dx) * scale)


def _as_it_is(x: ndarray) -> ndarray:
    return x
