from scratchformer.arguments import checked_arguments
from scratchformer.layers.feed_forward import GATED
from scratchformer.models.decoder_only import DecoderOnly


@checked_arguments
def block_matrices(model: DecoderOnly) -> dict[str, int]:
    """The names of the matrices in a model's blocks, each with how many stand side by side in it, as `Muon` asks.

    Keys and values are two in one projection, and so are the gate and the values of a gated feed-forward map. Tables,
    the output head, norms and biases are left out.
    """
    pairs = ["attention.key_value.weight"]
    if model.blocks[0].feed_forward.activation in GATED:
        pairs.append("feed_forward.up.weight")
    return {
        name: 2 if name.endswith(tuple(pairs)) else 1
        for name, parameter in model.parameters().items()
        if name.startswith("blocks.") and parameter.value.ndim == 2
    }
