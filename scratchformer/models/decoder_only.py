import numpy as np
from jaxtyping import Inexact, Integer, Shaped
from numpy import ndarray

from scratchformer.layers import (
    NO_TRACE,
    Dropout,
    Embedding,
    Layer,
    LayerNorm,
    Linear,
    RMSNorm,
    TiedLinear,
    Trace,
    TransformerBlock,
)
from scratchformer.layers import plain_blocks as plain
from scratchformer.layers.cache import KeyValueCache, cache_within, refuse_backward
from scratchformer.layers.checks import check_call
from scratchformer.layers.next_position import are_written_out, mapped, next_position
from scratchformer.layers.stack import stack
from scratchformer.models.held_logits import holds_logits, loss_in_parts
from scratchformer.models.positions import LearnedPositions, PositionScheme
from scratchformer.ops import Backward, combine_masks, cross_entropy
from scratchformer.ops.checks import check_boolean_mask, check_dimensions, check_indices
from scratchformer.ops.contract import checked_backward


class DecoderOnly(Layer):
    """What GPT and Llama share: token embedding, causal blocks, a last norm if the blocks are pre-norm, linear head.

    A subclass makes the parts.
    """

    context_length: int
    token_embedding: Embedding
    position_embedding: PositionScheme
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
        trace: Trace = NO_TRACE,
        cache: KeyValueCache | None = None,
        last_only: bool = False,
    ) -> tuple[Inexact[ndarray, "*batch t_logits vocabulary"], Backward]:
        """Logits of the next token at every position, or at the last alone.

        Args:
            ids: (..., T) token ids. With those in the cache they must fit into the context.
            mask: boolean, broadcasts to (..., heads, T, T_key). False forbids a key that the causal mask would allow,
                for padding or packed documents.
            positions: (T,) or (batch, T), from 0; None to count from the end of the cache, or from 0. ALiBi and
                relative biases ignore them and use the distances within the row.
            generator: turns dropout on.
            trace: records intermediates; see `Trace`.
            cache: keys and values of earlier ids, to which those of `ids` are added. There is then no backward.
            last_only: whether only the last position goes through the last norm and the head.

        Returns:
            logits (..., T, vocabulary), or (..., 1, vocabulary) of the last position, and `backward(dlogits)`, which
            adds to every parameter's gradient and returns None: ids have no gradient.

        Raises:
            TypeError: ids or positions that are not integers, a mask that is not boolean.
            ValueError: a sequence longer than the context, an id or position out of range, positions of another shape,
                a mask that does not broadcast, no position with `last_only`.
        """
        is_plain = mask is None and positions is None and trace is NO_TRACE
        is_dropping = generator is not None
        self._check_inputs(ids, mask, positions, trace, cache, last_only)
        if cache is None and is_plain and not last_only and self._is_plain(ids, is_dropping):
            return self._plain_logits(ids)  # the same in two thirds of the time
        is_next = cache is not None and is_plain and not is_dropping and ids.shape[-1] == 1 and ids.size
        if cache is not None and is_next and self._is_written_out():
            return self._next_logits(ids, cache), refuse_backward  # the same in a third of the time
        x, features_backward = self._features(
            ids,
            mask=mask,
            positions=positions,
            generator=generator,
            trace=trace,
            cache=cache,
            last_only=last_only,
        )
        logits, head_backward = self.head(x)
        trace.record(normed=x, logits=logits)
        if cache is not None:
            return logits, refuse_backward

        def backward(dlogits: ndarray) -> None:
            dx = head_backward(dlogits)
            trace.record(dlogits=dlogits, dnormed=dx)
            features_backward(dx)

        return logits, backward

    def _check_inputs(
        self,
        ids: ndarray,
        mask: ndarray | None,
        positions: ndarray | None,
        trace: Trace,
        cache: KeyValueCache | None = None,
        last_only: bool = False,
    ) -> None:
        """Raises the errors of a call."""
        name = type(self).__name__
        check_call(name, trace, cache=cache)
        check_indices(name, "ids", ids, self.token_embedding.num_ids)
        check_dimensions(name, "ids", ids, 1)
        check_boolean_mask(name, mask)
        start, length = 0 if cache is None else cache.length, ids.shape[-1]
        if start + length > self.context_length:
            raise ValueError(f"{name}: ids has {start + length} positions, the context holds {self.context_length}")
        if last_only and not length:
            raise ValueError(f"{name}: ids must have a last position for last_only, got shape {ids.shape}")
        if positions is not None:
            check_indices(name, "positions", positions, self.context_length)
            check_positions_shape(name, positions, ids)

    def _is_written_out(self) -> bool:
        """Whether `next_position` computes what the blocks do: nothing is added to scores, and numbers are real."""
        embedding, positions = self.token_embedding, self.position_embedding
        is_real = type(embedding) is not Embedding or embedding.table.value.dtype.char in "fdg"
        is_own = type(self)._features is DecoderOnly._features and type(self.dropout) is Dropout
        return is_real and is_own and type(positions).bias is PositionScheme.bias and are_written_out(self.blocks)

    def _next_logits(
        self, ids: Integer[ndarray, "*batch 1"], cache: KeyValueCache
    ) -> Inexact[ndarray, "*batch 1 vocabulary"]:
        """The logits at one new position of each sequence. The arguments are those of a call, and were checked."""
        position = np.arange(cache.length, cache.length + 1)
        embedding, positions = self.token_embedding, self.position_embedding
        x = embedding.table.value.take(ids, axis=0) if type(embedding) is Embedding else embedding(ids)[0]
        if type(positions) is LearnedPositions and position[0] < len(positions.table.value):
            x = x + positions.table.value[position[0]]
        else:
            x = positions.embed(x, position)[0]
        rows = next_position(self.blocks, self.norm, x, position, cache.within("blocks"))
        return mapped(self.head, rows).reshape(*ids.shape, -1)

    def _is_plain(self, ids: Integer[ndarray, "*batch t"], is_dropping: bool) -> bool:
        """Whether `plain_blocks` computes what the blocks do."""
        return (
            not (is_dropping and self.dropout.p)
            and self._is_written_out()
            and plain.are_plain(self.blocks, ids.shape, is_dropping=is_dropping)
        )

    def _plain_logits(
        self, ids: Integer[ndarray, "*batch t"]
    ) -> tuple[Inexact[ndarray, "*batch t vocabulary"], Backward]:
        """The logits at all positions. The arguments are those of a call, and were checked."""
        tokens, token_backward = plain.looked_up(self.token_embedding, ids)
        x, position_backward = self.position_embedding.embed(tokens, None)
        rows, blocks_backward = plain.plain_blocks(self.blocks, self.norm, x)
        y, head_backward = plain.mapped(self.head, rows, ids.shape)
        logits = y.reshape(*ids.shape, -1)

        def backward(dy: ndarray) -> None:
            dx = blocks_backward(head_backward(dy.reshape(-1, dy.shape[-1])))
            token_backward(position_backward(dx.reshape(*ids.shape, -1)))

        return logits, checked_backward("linear", logits, backward)

    def _features(
        self,
        ids: Integer[ndarray, "*batch t"],
        *,
        mask: Shaped[ndarray, "..."] | None,
        positions: Integer[ndarray, "..."] | None,
        generator: np.random.Generator | None,
        trace: Trace,
        cache: KeyValueCache | None = None,
        last_only: bool = False,
        once: bool = False,
    ) -> tuple[Inexact[ndarray, "*batch t_logits d"], Backward]:
        """What the head reads. The arguments are those of a call, and were checked. `once` is that of `stack`."""
        start, length = 0 if cache is None else cache.length, ids.shape[-1]
        tokens, token_backward = self.token_embedding(ids)
        x, position_backward = self.position_embedding.embed(tokens, positions, start)
        x, dropout_backward = self.dropout(x, generator)
        trace.record(embedded=x)
        bias, bias_backward = self.position_embedding.bias(length, start + length, x.dtype)
        x, blocks_backward = stack(
            self.blocks,
            x,
            combine_masks(bias, mask),
            is_causal=True,
            positions=positions,
            generator=generator,
            trace=trace.within("blocks"),
            cache=cache_within(cache, "blocks"),
            once=once,
        )
        x, last_backward = last_position(x) if last_only else (x, lambda dx: dx)
        x, norm_backward = (x, lambda dx: dx) if self.norm is None else self.norm(x)

        def backward(dx: ndarray) -> None:
            dx, dmask, *_ = blocks_backward(last_backward(norm_backward(dx)))
            bias_backward(dmask)
            trace.record(dembedded=dx)
            token_backward(position_backward(dropout_backward(dx)))

        return x, backward

    def loss(
        self,
        ids: Integer[ndarray, "*batch t"],
        targets: Integer[ndarray, "*batch t"],
        *,
        mask: Shaped[ndarray, "..."] | None = None,
        positions: Integer[ndarray, "..."] | None = None,
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
                a time, forward and again backward. None holds them if they and the head are small, if they are traced,
                or if the head is stored in fewer bits; else it forms them in parts, and holds the exponentials if they
                take little memory beside the head.
            dloss: what `backward` will be called with, if it is known. Logits that are not held are then formed once,
                for some positions at a time: this call adds the gradient of the head, and `backward`, called once, the
                rest.
        """
        num_logits = np.size(ids) * self.token_embedding.num_ids
        if not holds_logits(type(self).__name__, hold_logits, num_logits, self.head, trace):
            self._check_inputs(ids, mask, positions, trace)
            x, features_backward = self._features(
                ids, mask=mask, positions=positions, generator=generator, trace=trace, once=dloss is not None
            )
            loss, head_backward = loss_in_parts(
                self.head.cross_entropy,
                x,
                targets,
                self.token_embedding.num_ids,
                dloss=dloss,
                ignore_index=ignore_index,
                label_smoothing=label_smoothing,
                hold_exponentials=hold_logits,
            )
            trace.record(normed=x, loss=np.asarray(loss))

            def backward_in_parts(dloss: float = 1.0) -> None:
                features_backward(head_backward(dloss))

            return loss, backward_in_parts
        logits, logits_backward = self(ids, mask=mask, positions=positions, generator=generator, trace=trace)
        loss, loss_backward = cross_entropy(logits, targets, ignore_index=ignore_index, label_smoothing=label_smoothing)
        trace.record(loss=np.asarray(loss))

        def backward(dloss: float = 1.0) -> None:
            logits_backward(loss_backward(dloss))

        return loss, backward


def last_position(x: Inexact[ndarray, "*batch t d"]) -> tuple[Inexact[ndarray, "*batch 1 d"], Backward]:
    """The last position alone, and `backward(dy)` giving dx: 0 at all others, which no logit depends on directly."""

    def backward(dy: ndarray) -> ndarray:
        dx = np.zeros_like(x)
        dx[..., -1:, :] = dy
        return dx

    return x[..., -1:, :], backward


def check_positions_shape(model: str, positions: ndarray, ids: ndarray) -> None:
    """Raises ValueError unless positions have the shape of `ids`, or that of its last axis."""
    if positions.shape not in (ids.shape, ids.shape[-1:]):
        raise ValueError(
            f"{model}: positions has shape {positions.shape}, expected {ids.shape[-1:]} or that of ids {ids.shape}"
        )
