"""A table says, for each tensor of a family's files, which part of which parameter it is. It serves both ways."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scratchformer.layers import Layer
from scratchformer.pretrained.config_keys import Keys
from scratchformer.pretrained.tensors import StoredTensor

Format = Literal["gguf", "safetensors"]
Sizes = Mapping[str, int]
"""Widths by name; `num_layers` among them."""
Tensors = Mapping[str, StoredTensor]


@dataclass(frozen=True)
class Row:
    """A tensor of a family's files, and the part of a parameter that it is. `{i}` stands for the number of a layer.

    Args:
        parameter: its dotted name in the model.
        safetensors, gguf: the tensor's name in files; "" where such files have none.
        shape: names of the sizes of the part. A matrix is (in, out), a table (rows, features), a vector (features,).
        is_matrix: whether files store it as (out, in).
        is_convolution: whether safetensors store it as (in, out) all the same, as GPT-2's do.
        before: the size of what stands before it among the parameter's columns.
        stored_before: the size of what stands before it in the tensor, if the tensor is more than this part.
        heads: the size that counts the heads that rotary positions turn.
        needs: the option without which the model has no such parameter.
    """

    parameter: str
    safetensors: str
    gguf: str
    shape: tuple[str, ...]
    is_matrix: bool = False
    before: str = ""
    stored_before: str = ""
    heads: str = ""
    needs: str = ""
    is_convolution: bool = False

    def name(self, format: Format) -> str:
        return self.gguf if format == "gguf" else self.safetensors


def linear(
    parameter: str,
    safetensors: str,
    gguf: str,
    shape: tuple[str, str],
    *,
    bias: str = "",
    **options: Any,
) -> tuple[Row, Row]:
    """The rows of a linear map: its matrix and its bias, which `bias` names the option for."""
    needs = options.get("needs", "")
    return (
        Row(
            f"{parameter}.weight",
            f"{safetensors}.weight",
            gguf and f"{gguf}.weight",
            shape,
            is_matrix=True,
            **options,
        ),
        Row(
            f"{parameter}.bias",
            f"{safetensors}.bias",
            gguf and f"{gguf}.bias",
            shape[1:],
            **{**options, "needs": bias or needs, "is_convolution": False},
        ),
    )


def layer_norm(parameter: str, safetensors: str, gguf: str, size: str, needs: str = "") -> tuple[Row, Row]:
    """The rows of a layer norm."""
    weight, bias = (
        Row(f"{parameter}.{one}", f"{safetensors}.{one}", gguf and f"{gguf}.{one}", (size,), needs=needs)
        for one in ("weight", "bias")
    )
    return weight, bias


@dataclass(frozen=True)
class Piece:
    """A row for one layer, with the sizes of a model. `start` and `stored_start` count columns, as Row's fields do."""

    parameter: str
    name: str
    shape: tuple[int, ...]
    is_transposed: bool
    start: int
    stored_start: int
    heads: int

    @property
    def columns(self) -> slice:
        """Of the parameter."""
        return slice(self.start, self.start + self.shape[-1])

    @property
    def stored_columns(self) -> slice:
        """Of the tensor, where its columns are those of the parameter."""
        return slice(self.stored_start, self.stored_start + self.shape[-1])


@dataclass(frozen=True)
class Family:
    """How the files of a family of models are laid out. The sources are those files and the code that reads them.

    Args:
        name: as `model_type` in config.json.
        title: as people call it.
        model_type: the class of its models.
        architecture: as GGUF files call it; "" if this reads none.
        classes: names in `architectures` of config.json whose outputs the model has.
        class_of: the one of them that a configuration is written as.
        prefix: what the names of all tensors but the heads may begin with in safetensors.
        heads: how the names of the heads' tensors begin.
        rows: the table.
        sizes, options: of a model's configuration, as the rows name them.
        read_config, read_metadata: the configuration that config.json, or a GGUF file's metadata, describes. They take
            what they know of the keys, and see the tensors by the names in the table.
        write_config: what config.json says about a configuration. Raises ValueError with what it cannot express.
        renamed: the name in the table of a tensor with an older name.
        copies: tensors that equal others, where the model has no parameter for them.
        harmless: names of tensors that are passed over, with the reason.
        gguf_pairs: whether GGUF files hold the features that rotary turns as pairs (2i, 2i + 1).
    """

    name: str
    title: str
    model_type: Callable[..., Layer]
    architecture: str
    classes: tuple[str, ...]
    class_of: Callable[[Any], str]
    prefix: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    sizes: Callable[[Any], Sizes]
    options: Callable[[Any], frozenset[str]]
    read_config: Callable[[Keys, Tensors], Any]
    read_metadata: Callable[[Keys, Tensors], Any]
    write_config: Callable[[Any], dict[str, Any]]
    renamed: Callable[[str], str] = lambda name: name
    copies: Mapping[str, str] = field(default_factory=dict)
    harmless: Mapping[str, str] = field(default_factory=dict)
    gguf_pairs: bool = False

    def full_name(self, name: str, class_name: str) -> str:
        """The name of a tensor in safetensors of a class: all but heads have the prefix, where there can be heads."""
        has_prefix = not class_name.endswith("Model") or class_name.endswith("LMHeadModel")
        return f"{self.prefix}{name}" if has_prefix and not name.startswith(self.heads) else name

    def head(self, format: Format) -> str:
        """The name of the output head's tensor; "" for families whose head is always tied."""
        return next((row.name(format) for row in self.rows if row.parameter == "head.weight"), "")

    def pieces(self, config: Any, format: Format) -> Iterator[Piece]:
        """The parts of all parameters of a model, in files of this format."""
        sizes, options = self.sizes(config), self.options(config)
        for row in self.rows:
            if row.needs and row.needs not in options:
                continue
            for i in range(sizes["num_layers"]) if "{i}" in row.parameter else (0,):
                yield Piece(
                    row.parameter.format(i=i),
                    row.name(format).format(i=i),
                    tuple(sizes[size] for size in row.shape),
                    row.is_matrix and not (row.is_convolution and format == "safetensors"),
                    sizes[row.before] if row.before else 0,
                    sizes[row.stored_before] if row.stored_before else 0,
                    sizes[row.heads] if row.heads else 0,
                )

    def stored_shapes(self, config: Any, format: Format) -> dict[str, tuple[int, ...]]:
        """The shapes of a model's tensors, by name, in files of this format."""
        columns: dict[str, int] = defaultdict(int)
        shapes = {}
        for piece in self.pieces(config, format):
            columns[piece.name] = max(columns[piece.name], piece.stored_columns.stop)
            shape = (*piece.shape[:-1], columns[piece.name])
            shapes[piece.name] = shape[::-1] if piece.is_transposed else shape
        return shapes
