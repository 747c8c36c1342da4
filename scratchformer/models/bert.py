from functools import partial
from typing import Literal, get_args

import numpy as np
from jaxtyping import Inexact, Integer
from numpy import ndarray
from numpy.typing import DTypeLike

from scratchformer.arguments import checked_arguments
from scratchformer.layers import (
    NO_TRACE,
    BlockConfig,
    Dropout,
    Embedding,
    Layer,
    LayerNorm,
    Trace,
    TransformerBlock,
)
from scratchformer.layers.checks import check_call
from scratchformer.layers.stack import stack
from scratchformer.models.bert_config import BERTConfig
from scratchformer.models.bert_heads import ClassHead, MaskedHead, Pooler, at_first
from scratchformer.models.held_logits import holds_logits, loss_in_parts
from scratchformer.models.initialization import initialize_as_bert
from scratchformer.models.positions import LearnedPositions
from scratchformer.ops import Backward, cross_entropy, mean_pooling, padding_mask
from scratchformer.ops.checks import (
    check_choice,
    check_dimensions,
    check_indices,
    check_integer,
    check_shape,
)
from scratchformer.ops.contract import checked_backward

Pooling = Literal["mean", "first", "pooler"]


@checked_arguments
class BERT(Layer):
    """BERT's encoder: the sum of token, position and segment embeddings, a norm, and blocks without a causal mask.

    Three heads may read its output. One predicts masked tokens: linear map, GELU, norm, token table, bias. One
    classifies by the first position: linear map, tanh, dropout, linear map. The pooler gives one vector for each
    sequence, by the first position: linear map, tanh. `embed` gives such a vector also without a head.

    Matrices and tables start normal with standard deviation 0.02, biases at 0, norms at 1. Without a generator nothing
    is drawn, and they are 0.

    Source: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", 2018, section 3 and appendix A.2.
    """

    def __init__(
        self, config: BERTConfig, *, generator: np.random.Generator | None, dtype: DTypeLike = np.float32
    ) -> None:
        self.config = config
        d_model = config.d_model
        new_embedding = partial(Embedding, generator=generator, dtype=dtype)
        self.token_embedding = new_embedding(config.vocabulary_size, d_model)
        self.position_embedding = LearnedPositions(config.context_length, d_model, generator=generator, dtype=dtype)
        self.segment_embedding = new_embedding(config.num_segments, d_model)
        new_norm = partial(LayerNorm, d_model, eps=config.eps, dtype=dtype)
        self.embedding_norm = new_norm()
        self.dropout = Dropout(config.dropout)
        block = BlockConfig(
            d_model,
            config.num_heads,
            config.hidden_width,
            norm_first=config.norm_first,
            eps=config.eps,
            activation=config.activation,
            dropout=config.dropout,
        )
        self.blocks = [TransformerBlock(block, generator=generator, dtype=dtype) for _ in range(config.num_layers)]
        self.norm = new_norm() if config.norm_first else None
        self.masked_head = (
            MaskedHead(
                self.token_embedding.table, new_norm(), activation=config.activation, generator=generator, dtype=dtype
            )
            if config.masked_head
            else None
        )
        self.class_head = (
            None
            if config.num_classes is None
            else ClassHead(d_model, config.num_classes, dropout=config.dropout, generator=generator, dtype=dtype)
        )
        self.pooler = Pooler(d_model, generator=generator, dtype=dtype) if config.pooler else None
        initialize_as_bert(self, generator)
        self.pack()

    def __call__(
        self,
        ids: Integer[ndarray, "*batch t"],
        segments: Integer[ndarray, "*batch t"] | None = None,
        *,
        lengths: Integer[ndarray, "*batch"] | None = None,
        generator: np.random.Generator | None = None,
        trace: Trace = NO_TRACE,
    ) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
        """The encoder's output at every position.

        Args:
            ids: (..., T) token ids, at most as many as the context is long.
            segments: (..., T) number of the segment of each token; None for 0.
            lengths: (batch,) number of tokens before the padding of each sequence, for ids (batch, T); None for no
                padding.
            generator: turns dropout on.
            trace: records intermediates; see `Trace`.

        Returns:
            (..., T, d_model), and `backward(dy)`, which adds to every parameter's gradient and returns None.

        Raises:
            TypeError: ids, segments or lengths that are not integers.
            ValueError: a sequence longer than the context, an id, segment or length out of range, segments or lengths
                of another shape.
        """
        return self._encode(ids, segments, lengths=lengths, generator=generator, trace=trace)

    def _encode(
        self,
        ids: Integer[ndarray, "*batch t"],
        segments: Integer[ndarray, "*batch t"] | None,
        *,
        lengths: Integer[ndarray, "*batch"] | None,
        generator: np.random.Generator | None,
        trace: Trace,
        once: bool = False,
    ) -> tuple[Inexact[ndarray, "*batch t d"], Backward]:
        """What a call returns; `once` is that of `stack`."""
        check_call("BERT", trace)
        check_indices("BERT", "ids", ids, self.config.vocabulary_size)
        check_dimensions("BERT", "ids", ids, 1)
        length = ids.shape[-1]
        if length > self.config.context_length:
            raise ValueError(f"BERT: ids has {length} positions, the context holds {self.config.context_length}")
        segments = np.zeros_like(ids) if segments is None else segments
        check_indices("BERT", "segments", segments, self.config.num_segments)
        check_shape("BERT", "segments", segments, ids.shape)
        mask = None if lengths is None else padding_mask(lengths, length)
        if lengths is not None:
            check_shape("BERT", "lengths", lengths, ids.shape[:-1])

        tokens, token_backward = self.token_embedding(ids)
        of_segments, segment_backward = self.segment_embedding(segments)
        x, position_backward = self.position_embedding.embed(tokens, None)
        x, embedding_norm_backward = self.embedding_norm(x + of_segments)
        x, dropout_backward = self.dropout(x, generator)
        trace.record(embedded=x)
        x, blocks_backward = stack(self.blocks, x, mask, generator=generator, trace=trace.within("blocks"), once=once)
        y, norm_backward = (x, lambda dy: dy) if self.norm is None else self.norm(x)
        trace.record(encoded=y)

        def backward(dy: ndarray) -> None:
            trace.record(dencoded=dy)
            dx, *_ = blocks_backward(norm_backward(dy))
            trace.record(dembedded=dx)
            dsum = embedding_norm_backward(dropout_backward(dx))
            segment_backward(dsum)
            token_backward(position_backward(dsum))

        return y, backward

    def loss(
        self,
        ids: Integer[ndarray, "*batch t"],
        targets: Integer[ndarray, "*batch t"],
        segments: Integer[ndarray, "*batch t"] | None = None,
        *,
        lengths: Integer[ndarray, "*batch"] | None = None,
        ignore_index: int = -100,
        hold_logits: bool | None = None,
        dloss: float | None = None,
        generator: np.random.Generator | None = None,
        trace: Trace = NO_TRACE,
    ) -> tuple[np.inexact, Backward]:
        """Mean cross-entropy of the masked tokens, in nats, and its `backward(dloss=1.0)`.

        Targets are the masked tokens, and `ignore_index` elsewhere. The head runs only at the masked positions. The
        other arguments are those of calling the model and of `cross_entropy`.

        Args:
            hold_logits: True holds all logits until backward, as a trace needs them. False forms them for some words at
                a time, forward and again backward. None holds them if they and the head are small, or if they are
                traced; else it forms them in parts, and holds the exponentials if they take little memory beside the
                head.
            dloss: what `backward` will be called with, if it is known. Logits that are not held are then formed once,
                for some positions at a time: this call adds the gradient of the head, and `backward`, called once, the
                rest.

        Raises ValueError for a model without that head.
        """
        if self.masked_head is None:
            raise ValueError("BERT: masked_head is False, expected a model with that head for a loss")
        check_integer("BERT", "ignore_index", ignore_index)
        check_indices("BERT", "targets", targets, self.config.vocabulary_size, ignore=ignore_index)
        check_shape("BERT", "targets", targets, np.shape(ids))
        counted = targets != ignore_index
        num_logits = int(np.count_nonzero(counted)) * self.config.vocabulary_size
        encode = partial(self._encode, ids, segments, lengths=lengths, generator=generator, trace=trace)
        if not holds_logits("BERT", hold_logits, num_logits, self.masked_head.output, trace):
            encoded, encoder_backward = encode(once=dloss is not None)
            loss, head_loss_backward = loss_in_parts(
                self.masked_head.cross_entropy,
                encoded[counted],
                targets[counted],
                self.config.vocabulary_size,
                dloss=dloss,
                ignore_index=ignore_index,
                hold_exponentials=hold_logits,
            )
            trace.record(loss=np.asarray(loss))

            def backward_in_parts(dloss: float = 1.0) -> None:
                dencoded = np.zeros_like(encoded)
                dencoded[counted] = head_loss_backward(dloss)
                encoder_backward(dencoded)

            return loss, backward_in_parts
        encoded, encoder_backward = encode()
        logits, head_backward = self.masked_head(encoded[counted])  # (counted, vocabulary)
        loss, loss_backward = cross_entropy(logits, targets[counted])
        trace.record(logits=logits, loss=np.asarray(loss))

        def backward(dloss: float = 1.0) -> None:
            dlogits = loss_backward(dloss)
            trace.record(dlogits=dlogits)
            dencoded = np.zeros_like(encoded)
            dencoded[counted] = head_backward(dlogits)
            encoder_backward(dencoded)

        return loss, backward

    def classify(
        self,
        ids: Integer[ndarray, "*batch t"],
        segments: Integer[ndarray, "*batch t"] | None = None,
        *,
        lengths: Integer[ndarray, "*batch"] | None = None,
        generator: np.random.Generator | None = None,
        trace: Trace = NO_TRACE,
    ) -> tuple[Inexact[ndarray, "*batch classes"], Backward]:
        """Logits of the classes of each sequence, from its first position, and `backward(dlogits)`, which returns None.

        Raises ValueError for a model without that head, and for sequences without a first position.
        """
        if self.class_head is None:
            raise ValueError("BERT: num_classes is None, expected a number of classes to classify")
        encoded, encoder_backward = self(ids, segments, lengths=lengths, generator=generator, trace=trace)
        logits, head_backward = at_first(encoded, partial(self.class_head, generator=generator))
        trace.record(logits=logits)

        def backward(dlogits: ndarray) -> None:
            trace.record(dlogits=dlogits)
            encoder_backward(head_backward(dlogits))

        return logits, backward

    def pooled(
        self,
        ids: Integer[ndarray, "*batch t"],
        segments: Integer[ndarray, "*batch t"] | None = None,
        *,
        lengths: Integer[ndarray, "*batch"] | None = None,
        generator: np.random.Generator | None = None,
        trace: Trace = NO_TRACE,
    ) -> tuple[Inexact[ndarray, "*batch d"], Backward]:
        """tanh(x_0 W + b) for each sequence, with x_0 of its first position, and `backward(dy)`, which returns None.

        Raises ValueError for a model without a pooler, and for sequences without a first position.
        """
        return self.embed(ids, segments, lengths=lengths, pooling="pooler", generator=generator, trace=trace)

    def embed(
        self,
        ids: Integer[ndarray, "*batch t"],
        segments: Integer[ndarray, "*batch t"] | None = None,
        *,
        lengths: Integer[ndarray, "*batch"] | None = None,
        pooling: Pooling = "mean",
        generator: np.random.Generator | None = None,
        trace: Trace = NO_TRACE,
    ) -> tuple[Inexact[ndarray, "*batch d"], Backward]:
        """One vector for each sequence, and `backward(dy)`, which adds to every parameter's gradient and returns None.

        `pooling` says how the encoder's output becomes one vector: `mean` over the tokens before the padding (0 for a
        sequence without a token), that of the `first` position, or the `pooler` of the first position.

        Raises ValueError for another pooling, for the pooler of a model without one, and, if it is not the mean, for
        sequences without a first position.
        """
        check_choice("BERT", "pooling", pooling, get_args(Pooling))
        head = self.pooler if pooling == "pooler" else lambda x: (x, lambda dx: dx)
        if head is None:
            raise ValueError("BERT: pooler is False, expected a model with a pooler")
        encoded, encoder_backward = self(ids, segments, lengths=lengths, generator=generator, trace=trace)
        y, pooling_backward = mean_pooling(encoded, lengths) if pooling == "mean" else at_first(encoded, head)
        trace.record(pooled=y)

        def backward(dy: ndarray) -> None:
            trace.record(dpooled=dy)
            encoder_backward(pooling_backward(dy))

        return y, checked_backward("BERT", y, backward)
