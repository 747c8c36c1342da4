"""What the tensors of GGUF files say that their metadata does not."""

from scratchformer.pretrained.families.table import Tensors


def rows_of(tensors: Tensors, name: str, said: int | None) -> int:
    """The rows of a table, which are what the metadata says there are, if it says it."""
    if said is None and name in tensors and tensors[name].shape:
        return tensors[name].shape[0]
    return said or 0


def is_tied(tensors: Tensors) -> bool:
    """Whether the output head is the table of tokens: there is none, or its bytes are those of the table."""
    head, table = tensors.get("output.weight"), tensors.get("token_embd.weight")
    if head is None or table is None:
        return head is None
    return head.kind == table.kind and head.shape == table.shape and bool((head.raw == table.raw).all())
