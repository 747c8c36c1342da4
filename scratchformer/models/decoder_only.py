from typing import Any

import numpy as np
from jaxtyping import Inexact, Integer, Shaped
from numpy import ndarray

from scratchformer.layers import (
    Dropout,
    Embedding,
    Layer,
    LayerNorm,
    Linear,
    RelativeBias,
    RMSNorm,
    TiedLinear,
    TransformerBlock,
)
from scratchformer.layers.cache import KeyValueCache, refuse_backward
from scratchformer.layers.trace import Trace, record, within
from scratchformer.ops import Backward, alibi_bias, combine_masks, cross_entropy, sinusoidal_positions
from scratchformer.ops.contract import check_dimensions, check_indices
from scratchformer.ops.rows import unbroadcast


class DecoderOnly(Layer):
    """What GPT and Llama have in common: token embedding, causal blocks, after pre-norm ones a last norm, linear head.

    A subclass makes the parts. Positions enter where the subclass says: as a table that is added to the embeddings
    (`position_embedding`, or sines where `is_sinusoidal`), in the blocks' rotary attention, or as a bias of the scores
    (`relative_bias`, or ALiBi's where `is_alibi`).
    """

    context_length: int
    token_embedding: Embedding
    position_embedding: Embedding | None = None
    is_sinusoidal: bool = False
    relative_bias: RelativeBias | None = None
    is_alibi: bool = False
    dropout: Dropout
    blocks: list[TransformerBlock]
    norm: LayerNorm | RMSNorm | None
    head: Linear | TiedLinear

    def __call__(
        self,
        ids: Integer[ndarray, "*batch t"],
        *,
        mask: Shaped[ndarray, "..."] | None = None,
        positions: Integer[ndarray, "..."] | None = None,
        generator: np.random.Generator | None = None,
        trace: Trace | None = None,
        cache: KeyValueCache | None = None,
    ) -> tuple[Inexact[ndarray, "*batch t vocabulary"], Backward]:
        """Logits of the next token at every position.

        Args:
            ids: (..., T) token ids, at most as many as the context is long, with what the cache holds.
            mask: boolean, broadcasts to (..., heads, T, T_key): which keys a query may attend to, of those that do not
                come after it; for padding or packed documents.
            positions: (T,) or (batch, T), from 0; None to count on from what the cache holds. Biases of the scores do
                not look at them: there, distances are those of the row.
            generator: turns dropout on.
            trace: records intermediates; see `Trace`.
            cache: of what came before these ids, to which they are added; there is then no backward.

        Returns:
            logits (..., T, vocabulary), and `backward(dlogits)`, which adds to every parameter's gradient and
            returns None: ids have no gradient.

        Raises:
            TypeError: ids or positions that are not integers, a mask that is not boolean.
            ValueError: a sequence longer than the context, an id or position out of range, positions of another shape.
        """
        name = type(self).__name__
        check_indices(name, "ids", ids, len(self.token_embedding.table.value))
        check_dimensions(name, "ids", ids, 1)
        if mask is not None and (not isinstance(mask, ndarray) or mask.dtype != bool):
            raise TypeError(f"{name}: mask must be boolean, got {getattr(mask, 'dtype', type(mask).__name__)}")
        start, length = 0 if cache is None else cache.length, ids.shape[-1]
        if start + length > self.context_length:
            raise ValueError(f"{name}: ids has {start + length} positions, the context holds {self.context_length}")
        if positions is None:
            positions = np.arange(start, start + length)
        check_indices(name, "positions", positions, self.context_length)
        if positions.shape not in (ids.shape, ids.shape[-1:]):
            raise ValueError(
                f"{name}: positions has shape {positions.shape}, expected {(length,)} or that of ids {ids.shape}"
            )

        tokens, token_backward = self.token_embedding(ids)
        x, position_backward = self._with_positions(tokens, positions)
        x, dropout_backward = self.dropout(x, generator)
        record(trace, embedded=x)
        bias, bias_backward = self._score_bias(length, start + length, x.dtype)
        allowed = combine_masks(bias, mask)
        block_backwards = []
        for i, block in enumerate(self.blocks):
            parts: dict[str, Any] = {"trace": within(trace, f"blocks.{i}"), "cache": within(cache, f"blocks.{i}")}
            x, block_backward = block(x, allowed, is_causal=True, positions=positions, generator=generator, **parts)
            block_backwards.append(block_backward)
        x, norm_backward = (x, lambda dx: dx) if self.norm is None else self.norm(x)
        logits, head_backward = self.head(x)
        record(trace, normed=x, logits=logits)
        if cache is not None:
            return logits, refuse_backward

        def backward(dlogits: ndarray) -> None:
            dx = head_backward(dlogits)
            record(trace, dlogits=dlogits, dnormed=dx)
            dx = norm_backward(dx)
            for block_backward in reversed(block_backwards):
                dx, dallowed, *_ = block_backward(dx)
                bias_backward(dallowed)
            record(trace, dembedded=dx)
            dx = dropout_backward(dx)
            position_backward(dx)
            token_backward(dx)

        return logits, backward

    def loss(
        self,
        ids: Integer[ndarray, "*batch t"],
        targets: Integer[ndarray, "*batch t"],
        *,
        mask: Shaped[ndarray, "..."] | None = None,
        positions: Integer[ndarray, "..."] | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        generator: np.random.Generator | None = None,
        trace: Trace | None = None,
    ) -> tuple[np.inexact, Backward]:
        """Mean cross-entropy of the targets under the logits, in nats, and its `backward(dloss=1.0)`.

        The arguments are those of calling the model and of `cross_entropy`.
        """
        logits, logits_backward = self(ids, mask=mask, positions=positions, generator=generator, trace=trace)
        loss, loss_backward = cross_entropy(logits, targets, ignore_index=ignore_index, label_smoothing=label_smoothing)
        record(trace, loss=np.asarray(loss))

        def backward(dloss: float = 1.0) -> None:
            logits_backward(loss_backward(dloss))

        return loss, backward

    def _with_positions(self, x: ndarray, positions: ndarray) -> tuple[ndarray, Backward]:
        if self.position_embedding is not None:
            table, table_backward = self.position_embedding(positions)
            shape = table.shape
            return x + table, lambda dx: table_backward(unbroadcast(dx, shape))
        if self.is_sinusoidal:
            x = x + sinusoidal_positions(positions, x.shape[-1], dtype=x.real.dtype)
        return x, lambda dx: None

    def _score_bias(self, t_query: int, t_key: int, dtype: np.dtype) -> tuple[ndarray | None, Backward]:
        """What is added to the scores of every block (heads, T_query, T_key), and where its gradient goes."""
        if self.relative_bias is not None:
            bias, bias_backward = self.relative_bias(t_query, t_key)
            shape = bias.shape
            return bias, lambda dallowed: bias_backward(unbroadcast(dallowed, shape))
        if self.is_alibi:
            num_heads = self.blocks[0].attention.num_heads
            return alibi_bias(num_heads, t_query, t_key, dtype=np.zeros(0, dtype).real.dtype), lambda dallowed: None
        return None, lambda dallowed: None
