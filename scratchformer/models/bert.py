from dataclasses import dataclass
from functools import partial

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
from scratchformer.layers.stack import stack
from scratchformer.models.bert_heads import ClassHead, MaskedHead
from scratchformer.models.initialization import initialize_as_bert
from scratchformer.models.positions import LearnedPositions
from scratchformer.ops import Backward, cross_entropy, padding_mask
from scratchformer.ops.checks import (
    check_at_least,
    check_dimensions,
    check_divides,
    check_indices,
    check_probability,
    check_shape,
    check_sizes,
)
from scratchformer.python_numbers import take_python_numbers


@checked_arguments
@dataclass(frozen=True)
class BERTConfig:
    """The sizes and options of a BERT. Raises ValueError for values out of their range."""

    vocabulary_size: int
    """Number of distinct tokens, the mask's included."""
    context_length: int = 512
    """Longest sequence, in tokens."""
    num_layers: int = 12
    """Number of blocks."""
    num_heads: int = 12
    """Attention heads per block; must divide d_model."""
    d_model: int = 768
    """Width of the residual stream."""
    d_hidden: int | None = None
    """Width inside the feed-forward maps; None for 4 d_model."""
    num_segments: int = 2
    """Number of segments that tokens may belong to."""
    num_classes: int | None = None
    """Number of classes for `classify`; None for a model without that head."""
    dropout: float = 0.1
    """Probability of dropping an element, in [0, 1)."""
    norm_first: bool = False
    """Whether blocks are pre-norm, with a last norm; or post-norm, as published."""

    def __post_init__(self) -> None:
        name = "BERTConfig"
        take_python_numbers(self)
        check_sizes(self, "vocabulary_size", "context_length", "num_layers", "num_heads", "d_model", "num_segments")
        check_at_least(name, 1, d_hidden=self.hidden_width)
        if self.num_classes is not None:
            check_at_least(name, 1, num_classes=self.num_classes)
        check_probability(name, "dropout", self.dropout)
        check_divides(name, num_heads=self.num_heads, d_model=self.d_model)

    @property
    def hidden_width(self) -> int:
        """Width inside the feed-forward maps, with the default filled in."""
        return 4 * self.d_model if self.d_hidden is None else self.d_hidden


@checked_arguments
class BERT(Layer):
    """BERT's encoder: the sum of token, position and segment embeddings, a norm, and blocks without a causal mask.

    Two heads read its output. One predicts masked tokens: linear map, GELU, norm, token table, bias. The other
    classifies by the first position: linear map, tanh, dropout, linear map. Matrices and tables start normal with
    standard deviation 0.02, biases at 0, norms at 1.

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
        self.embedding_norm = LayerNorm(d_model, dtype=dtype)
        self.dropout = Dropout(config.dropout)
        block = BlockConfig(
            d_model, config.num_heads, config.hidden_width, norm_first=config.norm_first, dropout=config.dropout
        )
        self.blocks = [TransformerBlock(block, generator=generator, dtype=dtype) for _ in range(config.num_layers)]
        self.norm = LayerNorm(d_model, dtype=dtype) if config.norm_first else None
        self.masked_head = MaskedHead(self.token_embedding.table, generator=generator, dtype=dtype)
        self.class_head = (
            None
            if config.num_classes is None
            else ClassHead(d_model, config.num_classes, dropout=config.dropout, generator=generator, dtype=dtype)
        )
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
        x, position_backward = self.position_embedding.embed(tokens, np.arange(length))
        x, embedding_norm_backward = self.embedding_norm(x + of_segments)
        x, dropout_backward = self.dropout(x, generator)
        trace.record(embedded=x)
        x, blocks_backward = stack(self.blocks, x, mask, generator=generator, trace=trace.within("blocks"))
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
        generator: np.random.Generator | None = None,
        trace: Trace = NO_TRACE,
    ) -> tuple[np.inexact, Backward]:
        """Mean cross-entropy of the masked tokens, in nats, and its `backward(dloss=1.0)`.

        Targets are the masked tokens, and `ignore_index` elsewhere. The head runs only at the masked positions.
        """
        check_indices("BERT", "targets", targets, self.config.vocabulary_size, ignore=ignore_index)
        check_shape("BERT", "targets", targets, np.shape(ids))
        encoded, encoder_backward = self(ids, segments, lengths=lengths, generator=generator, trace=trace)
        counted = targets != ignore_index
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
        if np.shape(ids)[-1:] == (0,):
            raise ValueError(f"BERT: ids must have a first position to classify by, got shape {np.shape(ids)}")
        encoded, encoder_backward = self(ids, segments, lengths=lengths, generator=generator, trace=trace)
        logits, head_backward = self.class_head(encoded[..., 0, :], generator)
        trace.record(logits=logits)

        def backward(dlogits: ndarray) -> None:
            trace.record(dlogits=dlogits)
            dencoded = np.zeros_like(encoded)
            dencoded[..., 0, :] = head_backward(dlogits)
            encoder_backward(dencoded)

        return logits, backward
