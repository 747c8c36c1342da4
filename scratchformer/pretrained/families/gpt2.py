"""GPT-2."""

from typing import Any

from scratchformer.models import GPT, GPTConfig
from scratchformer.pretrained.config_keys import Keys, shortest
from scratchformer.pretrained.families.common import ACTIVATIONS, HARMLESS, MUST_BE, NAMES_OF_ACTIVATIONS
from scratchformer.pretrained.families.gguf_heads import is_tied, rows_of
from scratchformer.pretrained.families.table import Family, Row, Sizes, Tensors, layer_norm, linear

TABLE, HEAD = "wte.weight", "lm_head.weight"
OF_HEAD_OF_CLASSES = "it is for a head that is not read"
HARMLESS_KEYS = dict.fromkeys(
    (
        "summary_activation",
        "summary_first_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
    ),
    OF_HEAD_OF_CLASSES,
) | {"reorder_and_upcast_attn": "it says in what precision scores are computed", "n_special": "no code reads it"}
DROPOUTS = "resid_pdrop", "embd_pdrop", "attn_pdrop"


def sizes(config: GPTConfig) -> Sizes:
    return {
        "num_layers": config.num_layers,
        "vocabulary": config.vocabulary_size,
        "context": config.context_length,
        "model": config.d_model,
        "key_value": 2 * config.d_model,
        "hidden": config.hidden_width,
    }


def options(config: GPTConfig) -> frozenset[str]:
    return frozenset() if config.tied_head else frozenset({"head"})


def read_config(keys: Keys, tensors: Tensors) -> GPTConfig:
    keys.must_be(MUST_BE | {"scale_attn_weights": (True,), "scale_attn_by_inverse_layer_idx": (False,)})
    context_length = keys.integer("n_positions")
    keys.must_be({"n_ctx": (context_length,)})
    keys.pass_over({**HARMLESS, **HARMLESS_KEYS})
    return GPTConfig(
        vocabulary_size=keys.integer("vocab_size"),
        context_length=context_length,
        num_layers=keys.layers("n_layer"),
        num_heads=keys.integer("n_head"),
        d_model=keys.integer("n_embd"),
        d_hidden=keys.integer("n_inner", None, null=None),
        dropout=one_dropout(keys, DROPOUTS),
        eps=keys.number("layer_norm_epsilon", 1e-5),
        activation=keys.choice("activation_function", ACTIVATIONS, "gelu_tanh"),
        tied_head=keys.flag("tie_word_embeddings", True),
    )


def one_dropout(keys: Keys, names: tuple[str, ...]) -> float:
    """The dropout of all places, which must be the same."""
    first, *others = (keys.number(name, 0.1) for name in names)
    for name, value in zip(names[1:], others, strict=True):
        if value != first:
            raise keys.refused(name, value, f"{first} as in {names[0]}: one dropout serves all places")
    return first


def read_metadata(keys: Keys, tensors: Tensors) -> GPTConfig:
    return GPTConfig(
        vocabulary_size=rows_of(tensors, "token_embd.weight", keys.integer("vocab_size", None)),
        context_length=keys.integer("context_length"),
        num_layers=keys.layers("block_count"),
        num_heads=keys.integer("attention.head_count"),
        d_model=keys.integer("embedding_length"),
        d_hidden=keys.integer("feed_forward_length"),
        dropout=0.1,
        eps=shortest(keys.number("attention.layer_norm_epsilon")),
        tied_head=is_tied(tensors),
    )


def write_config(config: GPTConfig) -> dict[str, Any]:
    if config.positions != "learned":
        raise ValueError(f"GPT-2 has learned positions, not {config.positions}")
    if not config.norm_first:
        raise ValueError("GPT-2 has norm_first")
    if not config.bias:
        raise ValueError("GPT-2 has bias")
    if config.activation not in NAMES_OF_ACTIVATIONS:
        raise ValueError(f"GPT-2 has no activation {config.activation}")
    return {
        "vocab_size": config.vocabulary_size,
        "n_positions": config.context_length,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_embd": config.d_model,
        "n_inner": config.hidden_width,
        "layer_norm_epsilon": config.eps,
        "activation_function": NAMES_OF_ACTIVATIONS[config.activation],
        "tie_word_embeddings": config.tied_head,
        **dict.fromkeys(DROPOUTS, config.dropout),
    }


GPT2 = Family(
    name="gpt2",
    title="GPT-2",
    model_type=GPT,
    architecture="gpt2",
    classes=("GPT2LMHeadModel", "GPT2Model"),
    class_of=lambda config: "GPT2LMHeadModel",
    prefix="transformer.",
    heads=("lm_head.",),
    rows=(
        Row("token_embedding.table", TABLE, "token_embd.weight", ("vocabulary", "model")),
        Row("position_embedding.table", "wpe.weight", "position_embd.weight", ("context", "model")),
        *layer_norm("blocks.{i}.attention_norm", "h.{i}.ln_1", "blk.{i}.attn_norm", "model"),
        *linear(
            "blocks.{i}.attention.query",
            "h.{i}.attn.c_attn",
            "blk.{i}.attn_qkv",
            ("model", "model"),
            is_convolution=True,
        ),
        *linear(
            "blocks.{i}.attention.key_value",
            "h.{i}.attn.c_attn",
            "blk.{i}.attn_qkv",
            ("model", "key_value"),
            stored_before="model",
            is_convolution=True,
        ),
        *linear(
            "blocks.{i}.attention.output",
            "h.{i}.attn.c_proj",
            "blk.{i}.attn_output",
            ("model", "model"),
            is_convolution=True,
        ),
        *layer_norm("blocks.{i}.feed_forward_norm", "h.{i}.ln_2", "blk.{i}.ffn_norm", "model"),
        *linear(
            "blocks.{i}.feed_forward.up", "h.{i}.mlp.c_fc", "blk.{i}.ffn_up", ("model", "hidden"), is_convolution=True
        ),
        *linear(
            "blocks.{i}.feed_forward.down",
            "h.{i}.mlp.c_proj",
            "blk.{i}.ffn_down",
            ("hidden", "model"),
            is_convolution=True,
        ),
        *layer_norm("norm", "ln_f", "output_norm", "model"),
        Row("head.weight", HEAD, "output.weight", ("model", "vocabulary"), needs="head", is_matrix=True),
    ),
    sizes=sizes,
    options=options,
    read_config=read_config,
    read_metadata=read_metadata,
    write_config=write_config,
    copies={HEAD: TABLE, "output.weight": "token_embd.weight"},
    harmless={
        "h.{i}.attn.bias": "the causal mask",
        "h.{i}.attn.masked_bias": "the score of masked positions",
    },
)
