"""Every model, drawn with its inputs from a generator."""

from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
from numpy import ndarray

from scratchformer.catalogue.entry import layer_entry
from scratchformer.catalogue.layers import halves
from scratchformer.layers import Layer
from scratchformer.models import (
    BERT,
    GPT,
    BERTConfig,
    GPTConfig,
    Llama,
    LlamaConfig,
    Transformer,
    TransformerConfig,
)
from scratchformer.models.positions import Positions

Drawn = tuple[Layer, Sequence[Any]]
Generator = np.random.Generator


def ids_and_targets(generator: Generator) -> list[ndarray]:
    """Two sequences of four ids out of five tokens, and their targets, one of which does not count."""
    ids, targets = generator.integers(0, 5, (2, 2, 4))
    targets[0, 1] = -100
    return [ids, targets]


def gpt(**options: Any) -> Callable[[Generator], Drawn]:
    def draw(generator: Generator) -> Drawn:
        config = GPTConfig(5, context_length=4, num_layers=1, num_heads=2, d_model=4, dropout=0.2, **options)
        return GPT(config, generator=generator), ids_and_targets(generator)

    return draw


def llama(**options: Any) -> Callable[[Generator], Drawn]:
    def draw(generator: Generator) -> Drawn:
        sizes: dict[str, Any] = {"num_layers": 1, "num_heads": 2, "num_kv_heads": 1, "d_model": 4, "d_hidden": 3}
        config = LlamaConfig(5, context_length=4, dropout=0.2, **sizes | options)
        return Llama(config, generator=generator), ids_and_targets(generator)

    return draw


def smoothed_loss(model: Any, ids: ndarray, targets: ndarray) -> Any:
    return model.loss(ids, targets, label_smoothing=0.1, generator=np.random.default_rng(5))


def bert(**options: Any) -> Callable[[Generator], Drawn]:
    def draw(generator: Generator) -> Drawn:
        config = BERTConfig(
            5, context_length=4, num_layers=1, num_heads=2, d_model=4, d_hidden=3, dropout=0.2, **options
        )
        return BERT(config, generator=generator), [*ids_and_targets(generator), generator.integers(0, 2, (2, 4))]

    return draw


def masked_loss(model: BERT, ids: ndarray, targets: ndarray, segments: ndarray) -> Any:
    return model.loss(ids, targets, segments, lengths=np.array([4, 3]), generator=np.random.default_rng(5))


def classes(model: BERT, ids: ndarray, targets: ndarray, segments: ndarray) -> Any:
    return model.classify(ids, segments, lengths=np.array([4, 3]), generator=np.random.default_rng(5))


def mean_of_tokens(model: BERT, ids: ndarray, targets: ndarray, segments: ndarray) -> Any:
    return model.embed(ids, segments, lengths=np.array([4, 3]), generator=np.random.default_rng(5))


def pooled(model: BERT, ids: ndarray, targets: ndarray, segments: ndarray) -> Any:
    return model.pooled(ids, segments, lengths=np.array([4, 3]), generator=np.random.default_rng(5))


def transformer(**options: Any) -> Callable[[Generator], Drawn]:
    def draw(generator: Generator) -> Drawn:
        config = TransformerConfig(5, num_layers=1, num_heads=2, d_model=4, d_hidden=3, dropout=0.2, **options)
        source = generator.integers(0, 5, (2, 3))
        return Transformer(config, generator=generator), [source, *ids_and_targets(generator)]

    return draw


def translation_loss(model: Transformer, source: ndarray, ids: ndarray, targets: ndarray) -> Any:
    options: dict[str, Any] = {"label_smoothing": 0.1, "generator": np.random.default_rng(5)}
    return model.loss(source, ids, targets, source_lengths=np.array([3, 2]), **options)


IN_BLOCK = halves("blocks.0.attention.")
IN_TRANSFORMER = halves("encoder.0.attention.", "decoder.0.attention.", "decoder.0.cross_attention.")
UNREAD = "this head takes no part"
MASKED_HEAD = ("linear.weight", "linear.bias", "norm.weight", "norm.bias", "bias")
UNREAD_HEAD = {f"masked_head.{name}": UNREAD for name in MASKED_HEAD}

MODELS = [
    layer_entry("GPT", gpt(), "models", call=smoothed_loss, **IN_BLOCK),
    layer_entry("GPT (untied head)", gpt(tied_head=False), "models", call=smoothed_loss, **IN_BLOCK),
    *(
        layer_entry(
            f"GPT ({positions})",
            gpt(positions=positions),
            "models",
            call=smoothed_loss,
            **({} if positions == "rotary" else IN_BLOCK),
        )
        for positions in get_args(Positions)[1:]
    ),
    layer_entry("GPT (post-norm)", gpt(norm_first=False), "models", call=smoothed_loss, **IN_BLOCK),
    layer_entry("GPT (SwiGLU)", gpt(activation="swiglu"), "models", call=smoothed_loss, **IN_BLOCK),
    layer_entry(
        "GPT (eps, d_hidden)", gpt(eps=0.1, d_hidden=5, activation="relu"), "models", call=smoothed_loss, **IN_BLOCK
    ),
    layer_entry("Llama", llama(), "models", call=smoothed_loss),
    layer_entry(
        "Llama (windows, frequencies, biases of q, k, v)",
        llama(
            windows=(2,),
            rotary_frequencies=(0.7,),
            rotary_magnitude=1.3,
            attention_bias=True,
            attention_output_bias=False,
            tied_head=True,
        ),
        "models",
        call=smoothed_loss,
    ),
    layer_entry(
        "Llama (qk_norm, d_head, all biases)",
        llama(qk_norm=True, d_head=6, attention_bias=True, feed_forward_bias=True),
        "models",
        call=smoothed_loss,
    ),
    layer_entry("BERT", bert(), "models", call=masked_loss, **IN_BLOCK),
    layer_entry("BERT (pre-norm)", bert(norm_first=True), "models", call=masked_loss, **IN_BLOCK),
    layer_entry(
        "BERT (classes)",
        bert(num_classes=3),
        "models",
        call=classes,
        split=IN_BLOCK["split"],
        zero=IN_BLOCK["zero"] | UNREAD_HEAD,
    ),
    layer_entry(
        "BERT (mean of tokens)",
        bert(masked_head=False, eps=0.1, activation="gelu_tanh"),
        "models",
        call=mean_of_tokens,
        **IN_BLOCK,
    ),
    layer_entry("BERT (pooler)", bert(masked_head=False, pooler=True), "models", call=pooled, **IN_BLOCK),
    layer_entry("Transformer", transformer(), "models", call=translation_loss, **IN_TRANSFORMER),
    layer_entry(
        "Transformer (pre-norm)", transformer(norm_first=True), "models", call=translation_loss, **IN_TRANSFORMER
    ),
]
