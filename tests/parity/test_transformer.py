from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.layers import Layer
from scratchformer.models import Transformer, TransformerConfig
from scratchformer.ops import Backward
from tests.parity import translating
from tests.parity.comparing import compare_layer, torch
from tests.parity.masks import zero_in_attention
from tests.strategies import seeds

F = torch.nn.functional

IGNORED = -1


class TransformerCase(NamedTuple):
    """Sizes, options and one batch. Source and target hold ids, `lengths` how many of the source's are no padding."""

    config: TransformerConfig
    source: ndarray
    lengths: ndarray | None
    ids: ndarray
    targets: ndarray
    label_smoothing: float
    seed: int

    @property
    def inputs(self) -> dict[str, ndarray | None]:
        return {"source": self.source, "ids": self.ids, "source_lengths": self.lengths}

    @property
    def zero(self) -> set[str]:
        longest = self.source.shape[-1] if self.lengths is None else self.lengths.max()
        reads_one, writes_one = longest == 1, self.ids.shape[-1] == 1
        zero = set()
        for i in range(self.config.num_layers):
            for attention, leaves_one_key in (
                (f"encoder.{i}.attention.", reads_one),
                (f"decoder.{i}.attention.", writes_one),
                (f"decoder.{i}.cross_attention.", reads_one),
            ):
                zero |= zero_in_attention(attention, bias=self.config.bias, leaves_one_key=leaves_one_key)
            if reads_one and self.config.norm_first:  # this norm feeds nothing but queries
                kinds = ("weight", "bias") if self.config.bias else ("weight",)
                zero |= {f"decoder.{i}.cross_attention_norm.{kind}" for kind in kinds}
        return zero


def varied_ids(generator: np.random.Generator, vocabulary_size: int, *shape: int) -> ndarray:
    """Rows that begin with different ids: between keys that are alike, gradients are what cancellation leaves."""
    order = generator.permuted(np.broadcast_to(np.arange(vocabulary_size), (*shape[:-1], vocabulary_size)), axis=-1)
    return np.concatenate([order, generator.integers(0, vocabulary_size, shape)], axis=-1)[..., : shape[-1]]


@st.composite
def transformer_cases(draw: st.DrawFn) -> TransformerCase:
    num_heads, d_model = draw(st.sampled_from([(1, 8), (8, 8), (2, 10), (3, 12)]))
    config = TransformerConfig(
        vocabulary_size=draw(st.integers(3, 7)),
        num_layers=draw(st.integers(1, 2)),
        num_heads=num_heads,
        d_model=d_model,
        d_hidden=draw(st.integers(1, 9)),
        dropout=0.0,
        norm_first=draw(st.booleans()),
        activation=draw(st.sampled_from(["relu", "gelu"])),
        bias=draw(st.booleans()),
    )
    batch = draw(st.sampled_from([(), (1,), (3,)]))
    t_source, t = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    is_padded = bool(batch) and draw(st.booleans())
    seed = draw(seeds)
    generator = np.random.default_rng([seed, 3])
    targets = generator.integers(0, config.vocabulary_size, (*batch, t))
    targets[..., :-1][generator.random((*batch, t - 1)) < 0.4] = IGNORED  # the last one counts: it sees all others
    return TransformerCase(
        config=config,
        source=varied_ids(generator, config.vocabulary_size, *batch, t_source),
        lengths=generator.integers(1, t_source + 1, batch) if is_padded else None,
        ids=varied_ids(generator, config.vocabulary_size, *batch, t),
        targets=targets,
        label_smoothing=draw(st.sampled_from([0.0, 0.1, 1.0])),
        seed=seed,
    )


def their_transformer(config: TransformerConfig) -> torch.nn.Transformer:
    """nn.Transformer; its last norms, which post-norm as published does not have, only with pre-norm."""
    options = {
        "dim_feedforward": config.d_hidden,
        "dropout": 0.0,
        "activation": config.activation,
        "batch_first": True,
        "norm_first": config.norm_first,
        "bias": config.bias,
        "dtype": torch.float64,
    }
    sizes = {"d_model": config.d_model, "nhead": config.num_heads}
    if config.norm_first:
        num_layers = {"num_encoder_layers": config.num_layers, "num_decoder_layers": config.num_layers}
        return torch.nn.Transformer(**sizes, **num_layers, **options)
    encoder_layer = torch.nn.TransformerEncoderLayer(**sizes, **options)
    decoder_layer = torch.nn.TransformerDecoderLayer(**sizes, **options)
    return torch.nn.Transformer(
        **sizes,
        custom_encoder=torch.nn.TransformerEncoder(encoder_layer, config.num_layers, norm=None),
        custom_decoder=torch.nn.TransformerDecoder(decoder_layer, config.num_layers, norm=None),
        batch_first=True,
    )


def sinusoids(t: int, d_model: int) -> torch.Tensor:
    """Feature 2i is the sine of position / 10000^(2i / d_model), feature 2i + 1 the cosine."""
    position, pair = torch.arange(t, dtype=torch.float64)[:, None], torch.arange(d_model // 2, dtype=torch.float64)
    angle = position / 10_000 ** (2 * pair / d_model)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)


def their_logits(
    case: TransformerCase,
    parameters: dict[str, torch.Tensor],
    source: torch.Tensor,
    ids: torch.Tensor,
    lengths: torch.Tensor | None,
) -> torch.Tensor:
    table, d_model = parameters["token_embedding.table"], case.config.d_model
    embedded = [F.embedding(x, table) * d_model**0.5 + sinusoids(x.shape[-1], d_model) for x in (source, ids)]
    padding = None if lengths is None else torch.arange(source.shape[-1]) >= lengths[:, None]
    decoded = torch.func.functional_call(
        their_transformer(case.config),
        translating.transformer(parameters, case.config.num_layers),
        tuple(embedded),
        {
            "tgt_mask": torch.ones(ids.shape[-1], ids.shape[-1], dtype=torch.bool).triu(1),
            "src_key_padding_mask": padding,
            "memory_key_padding_mask": padding,
        },
        strict=True,
    )
    return decoded @ table.T


def our_logits(layer: Layer, source: ndarray, ids: ndarray, lengths: ndarray | None) -> tuple[ndarray, Backward]:
    return layer(source, ids, source_lengths=lengths)


def new_transformer(case: TransformerCase) -> Transformer:
    return Transformer(case.config, generator=np.random.default_rng(case.seed))


# PyTorch says that padding is not cut out of the batches, which it only ever does without gradients.
pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")


@settings(max_examples=30)
@given(case=transformer_cases())
def test_logits(case: TransformerCase) -> None:
    """The one table's gradient has three parts: those of source, target and head."""
    compare_layer(
        new_transformer(case),
        lambda *tensors: their_logits(case, *tensors),
        case.inputs,
        seed=case.seed,
        scale=0.7 / case.config.d_model**0.5,
        zero=case.zero,
        call=our_logits,
    )


@settings(max_examples=30)
@given(case=transformer_cases())
def test_loss(case: TransformerCase) -> None:
    options = {"ignore_index": IGNORED, "label_smoothing": case.label_smoothing}

    def ours(layer: Layer, source: ndarray, ids: ndarray, lengths: ndarray | None) -> tuple[np.inexact, Backward]:
        return layer.loss(source, ids, case.targets, source_lengths=lengths, **options)

    def theirs(*tensors: torch.Tensor) -> torch.Tensor:
        logits = their_logits(case, *tensors).reshape(-1, case.config.vocabulary_size)
        return F.cross_entropy(logits, torch.tensor(case.targets.ravel()), **options)

    compare_layer(
        new_transformer(case),
        theirs,
        case.inputs,
        seed=case.seed,
        scale=0.7 / case.config.d_model**0.5,
        zero=case.zero,
        call=ours,
    )
