import numpy as np
import pytest

from scratchformer.models import (
    BERT,
    GPT,
    BERTConfig,
    GPTConfig,
    Llama,
    LlamaConfig,
    Transformer,
    TransformerConfig,
    block_matrices,
)
from scratchformer.models.decoder_only import DecoderOnly

SIZES = (7, 5, 2, 2, 4)
ATTENTION = {"attention.query.weight": 1, "attention.key_value.weight": 2, "attention.output.weight": 1}
ACROSS = {f"cross_{name}": count for name, count in ATTENTION.items()}
PLAIN = {"feed_forward.up.weight": 1, "feed_forward.down.weight": 1}
GATED = {"feed_forward.up.weight": 2, "feed_forward.down.weight": 1}
NO_DRAW = {"generator": None}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (GPT(GPTConfig(*SIZES), **NO_DRAW), {"blocks": ATTENTION | PLAIN}),
        (GPT(GPTConfig(*SIZES, activation="swiglu"), **NO_DRAW), {"blocks": ATTENTION | GATED}),
        (Llama(LlamaConfig(*SIZES[:4], d_model=4), **NO_DRAW), {"blocks": ATTENTION | GATED}),
        (BERT(BERTConfig(*SIZES, num_classes=3, pooler=True), **NO_DRAW), {"blocks": ATTENTION | PLAIN}),
        (
            Transformer(TransformerConfig(7, 2, 2, 4, 8), **NO_DRAW),
            {"encoder": ATTENTION | PLAIN, "decoder": ATTENTION | ACROSS | PLAIN},
        ),
    ],
)
def test_matrices_of_all_blocks_and_nothing_else(
    model: DecoderOnly | BERT | Transformer, expected: dict[str, dict[str, int]]
) -> None:
    of_all = {
        f"{stack}.{i}.{name}": count for stack, own in expected.items() for i in range(2) for name, count in own.items()
    }
    assert block_matrices(model) == of_all
    shapes = {name: np.shape(model.parameters()[name].value) for name in of_all}
    assert all(shapes[name][1] % count == 0 for name, count in of_all.items())
