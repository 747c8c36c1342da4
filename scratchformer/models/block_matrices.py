from scratchformer.arguments import checked_arguments
from scratchformer.layers.feed_forward import GATED
from scratchformer.models.bert import BERT
from scratchformer.models.decoder_only import DecoderOnly
from scratchformer.models.transformer import Transformer


@checked_arguments
def block_matrices(model: DecoderOnly | BERT | Transformer) -> dict[str, int]:
    """The names of the matrices in a model's blocks, each with how many stand side by side in it, as `Muon` asks.

    Keys and values are two in one projection, and so are the gate and the values of a gated feed-forward map. Tables,
    heads, norms and biases are left out.
    """
    stacks = (
        {"encoder": model.encoder, "decoder": model.decoder}
        if isinstance(model, Transformer)
        else {"blocks": model.blocks}
    )
    matrices = {}
    for stack, blocks in stacks.items():
        for i, block in enumerate(blocks):
            pairs = {"attention.key_value.weight", "cross_attention.key_value.weight"}
            if block.feed_forward.activation in GATED:
                pairs.add("feed_forward.up.weight")
            for name, parameter in block.parameters().items():
                if parameter.value.ndim == 2:
                    matrices[f"{stack}.{i}.{name}"] = 2 if name in pairs else 1
    return matrices
