import math
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Inexact, Integer, Shaped
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers import (
    NO_TRACE,
    BlockConfig,
    Dropout,
    Embedding,
    Layer,
    TiedLinear,
    Trace,
    TransformerBlock,
)
from scratchformer.layers.cache import KeyValueCache, cache_within, refuse_backward
from scratchformer.layers.checks import check_call
from scratchformer.layers.normalization import make_norm
from scratchformer.layers.stack import stack
from scratchformer.models.decoder_only import check_positions_shape
from scratchformer.models.held_logits import holds_logits, loss_in_parts
from scratchformer.models.positions import SinusoidalPositions
from scratchformer.models.transformer_config import TransformerConfig
from scratchformer.ops import Backward, cross_entropy, padding_mask
from scratchformer.ops.checks import (
    check_boolean_mask,
    check_dimensions,
    check_indices,
    check_shape,
)


@checked_arguments
class Transformer(Layer):
    """The encoder-decoder of "Attention Is All You Need": post-norm, sinusoidal positions, one table of tokens.

    The table, times sqrt(d_model), embeds source and target; it is also the output head. It starts normal with standard
    deviation 1 / sqrt(d_model); linear maps start as in `Linear`.

    Source: Vaswani et al., 2017, sections 3.1 to 3.5 and 5.4.
    """

    def __init__(
        self, config: TransformerConfig, *, generator: np.random.Generator | None, dtype: DTypeLike = np.float32
    ) -> None:
        self.config = config
        d_model = config.d_model
        self.token_embedding = Embedding(config.vocabulary_size, d_model, generator=generator, dtype=dtype)
        if generator is not None:
            self.token_embedding.table.value /= math.sqrt(d_model)
        self.position_embedding = SinusoidalPositions()
        self.dropout = Dropout(config.dropout)

        block = BlockConfig(
            d_model,
            config.num_heads,
            config.d_hidden,
            norm_first=config.norm_first,
            norm=config.norm,
            activation=config.activation,
            dropout=config.dropout,
            bias=config.bias,
        )
        new_block = partial(TransformerBlock, generator=generator, dtype=dtype)
        new_norm = partial(make_norm, config.norm, d_model, bias=config.bias, eps=None, dtype=dtype)
        self.encoder = [new_block(block) for _ in range(config.num_layers)]
        self.encoder_norm = new_norm() if config.norm_first else None
        self.decoder = [new_block(replace(block, cross_attention=True)) for _ in range(config.num_layers)]
        self.decoder_norm = new_norm() if config.norm_first else None
        self.head = TiedLinear(self.token_embedding.table)
        self.pack()

    def __call__(
        self,
        source: Integer[ndarray, "*batch t_source"],
        ids: Integer[ndarray, "*batch t"],
        *,
        source_lengths: Integer[ndarray, "*batch"] | None = None,
        generator: np.random.Generator | None = None,
        trace: Trace = NO_TRACE,
    ) -> tuple[Inexact[ndarray, "*batch t vocabulary"], Backward]:
        """Logits of the next target token at every position, given the source and the target tokens so far.

        Args:
            source: (..., T_source) token ids, padded on the right to one length.
            ids: (..., T) target ids, after one that marks the beginning. Padding on the right needs no mask, because
                no earlier token attends to it.
            source_lengths: (batch,) number of tokens before the padding of each source, for a source
                (batch, T_source); None for no padding.
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
        hold_logits: bool | None = None,
        dloss: float | None = None,
        generator: np.random.Generator | None = None,
        trace: Trace = NO_TRACE,
    ) -> tuple[np.inexact, Backward]:
        """Mean cross-entropy of the targets under the logits, in nats, and its `backward(dloss=1.0)`.

        The other arguments are those of calling the model and of `cross_entropy`.

        Args:
            hold_logits: True holds all logits until backward, as a trace needs them. False forms them for some words at
                a time, forward and again backward. None holds them if they and the head are small, or if they are
                traced; else it forms them in parts, and holds the exponentials if they take little memory beside the
                head.
            dloss: what `backward` will be called with, if it is known. Logits that are not held are then formed once,
                for some positions at a time: this call adds the gradient of the head, and `backward`, called once, the
                rest.
        """
        num_logits = np.size(ids) * self.config.vocabulary_size
        if not holds_logits("Transformer", hold_logits, num_logits, self.head, trace):
            mask = self._mask(source, source_lengths)
            once = dloss is not None
            memory, encoder_backward = self._encode(source, mask, generator=generator, trace=trace, once=once)
            x, features_backward = self._features(ids, memory, mask, generator=generator, trace=trace, once=once)
            loss, head_backward = loss_in_parts(
                self.head.cross_entropy,
                x,
                targets,
                self.config.vocabulary_size,
                dloss=dloss,
                ignore_index=ignore_index,
                label_smoothing=label_smoothing,
                hold_exponentials=hold_logits,
            )
            trace.record(loss=np.asarray(loss))

            def backward_in_parts(dloss: float = 1.0) -> None:
                encoder_backward(features_backward(head_backward(dloss)))

            return loss, backward_in_parts
        logits, logits_backward = self(source, ids, source_lengths=source_lengths, generator=generator, trace=trace)
        loss, loss_backward = cross_entropy(logits, targets, ignore_index=ignore_index, label_smoothing=label_smoothing)
        trace.record(loss=np.asarray(loss))

        def backward(dloss: float = 1.0) -> None:
            logits_backward(loss_backward(dloss))

        return loss, backward

    def encode(
        self,
        source: Integer[ndarray, "*batch t_source"],
        mask: Shaped[ndarray, "..."] | None = None,
        *,
        generator: np.random.Generator | None = None,
        trace: Trace = NO_TRACE,
    ) -> tuple[Inexact[ndarray, "*batch t_source d"], Backward]:
        """The encoder's output, to which the decoder attends, and `backward(dmemory)`, which returns None.

        `mask` is boolean and True where a query may attend to a source token; see `padding_mask`.
        """
        return self._encode(source, mask, generator=generator, trace=trace)

    def _encode(
        self,
        source: Integer[ndarray, "*batch t_source"],
        mask: Shaped[ndarray, "..."] | None,
        *,
        generator: np.random.Generator | None,
        trace: Trace,
        once: bool = False,
    ) -> tuple[Inexact[ndarray, "*batch t_source d"], Backward]:
        """What `encode` returns; `once` is that of `stack`."""
        check_call("Transformer", trace)
        check_boolean_mask("Transformer", mask)
        x, embedding_backward = self._embed("source", source, 0, generator)
        x, blocks_backward = stack(self.encoder, x, mask, generator=generator, trace=trace.within("encoder"), once=once)
        memory, norm_backward = (x, lambda dx: dx) if self.encoder_norm is None else self.encoder_norm(x)
        trace.record(memory=memory)

        def backward(dmemory: ndarray) -> None:
            dx, *_ = blocks_backward(norm_backward(dmemory))
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
        trace: Trace = NO_TRACE,
        cache: KeyValueCache | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t vocabulary"], Backward]:
        """Logits of the next target token at every position, and `backward(dlogits)` giving `dmemory`.

        A cache from `new_cache` holds memory and its mask, which then replace the arguments, and there is no backward.
        `mask` is boolean: False forbids a target token that the causal mask would allow. `positions` are (T,) or
        (batch, T); None counts from the end of the cache, or from 0.

        Raises ValueError without a memory and a cache, TypeError for a mask that is not boolean.
        """
        x, features_backward = self._features(
            ids,
            memory,
            memory_mask,
            mask=mask,
            positions=positions,
            generator=generator,
            trace=trace,
            cache=cache,
        )
        logits, head_backward = self.head(x)
        trace.record(logits=logits)
        if cache is not None:
            return logits, refuse_backward

        def backward(dlogits: ndarray) -> ndarray:
            trace.record(dlogits=dlogits)
            return features_backward(head_backward(dlogits))

        return logits, backward

    def _features(
        self,
        ids: Integer[ndarray, "*batch t"],
        memory: Inexact[ndarray, "*batch t_source d"] | None,
        memory_mask: Shaped[ndarray, "..."] | None,
        *,
        mask: Shaped[ndarray, "..."] | None = None,
        positions: Integer[ndarray, "..."] | None = None,
        generator: np.random.Generator | None,
        trace: Trace,
        cache: KeyValueCache | None = None,
        once: bool = False,
    ) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
        """What the head reads, and `backward(dx)` giving `dmemory`. `once` is that of `stack`, all else of `decode`."""
        check_call("Transformer", trace, positions=positions, cache=cache)
        if cache is not None:
            memory, memory_mask = cache.memory, cache.memory_mask
        check_boolean_mask("Transformer", mask)
        check_boolean_mask("Transformer", memory_mask)
        if memory is None:
            raise ValueError("Transformer: memory is None, expected the encoder's output or a cache that holds it")
        x, embedding_backward = self._embed("ids", ids, 0 if cache is None else cache.length, generator, positions)
        x, blocks_backward = stack(
            self.decoder,
            x,
            mask,
            memory,
            memory_mask,
            is_causal=True,
            generator=generator,
            trace=trace.within("decoder"),
            cache=cache_within(cache, "decoder"),
            once=once,
        )
        x, norm_backward = (x, lambda dx: dx) if self.decoder_norm is None else self.decoder_norm(x)

        def backward(dx: ndarray) -> ndarray:
            dx, _, dmemory, _ = blocks_backward(norm_backward(dx))
            embedding_backward(dx)
            trace.record(dmemory=dmemory)
            return dmemory

        return x, backward

    @checked_arguments
    def new_cache(
        self,
        source: Integer[ndarray, "*batch t_source"],
        source_lengths: Integer[ndarray, "*batch"] | None = None,
        *,
        capacity: int,
    ) -> KeyValueCache:
        """Encodes a source, and returns a cache with the result and room for `capacity` tokens of each target."""
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
        positions = np.arange(start, start + ids.shape[-1]) if positions is None else positions
        check_positions_shape("Transformer", positions, ids)
        tokens, token_backward = self.token_embedding(ids)
        x, position_backward = self.position_embedding.embed(tokens, positions)
        x, dropout_backward = self.dropout(x, generator)
        return x, lambda dx: token_backward(position_backward(dropout_backward(dx)))
