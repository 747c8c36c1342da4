import numpy as np

from scratchformer.models import GPT, GPTConfig, Llama, LlamaConfig, block_matrices

SIZES = {"vocabulary_size": 7, "context_length": 4, "num_layers": 2, "num_heads": 2, "d_model": 4}
SINGLE = ("attention.query", "attention.output", "feed_forward.down")


def of_both_blocks(counts: dict[str, int]) -> dict[str, int]:
    return {f"blocks.{i}.{name}.weight": count for i in range(2) for name, count in counts.items()}


def test_matrices_of_blocks_alone_are_named_with_how_many_stand_side_by_side() -> None:
    counts = {**dict.fromkeys(SINGLE, 1), "attention.key_value": 2, "feed_forward.up": 1}
    assert block_matrices(GPT(GPTConfig(**SIZES), generator=np.random.default_rng(0))) == of_both_blocks(counts)
    gated = counts | {"feed_forward.up": 2}
    assert block_matrices(Llama(LlamaConfig(**SIZES), generator=np.random.default_rng(0))) == of_both_blocks(gated)
