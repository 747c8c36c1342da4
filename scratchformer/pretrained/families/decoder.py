"""What Llama, Mistral, Qwen2 and Qwen3 share: their table, and most keys of their configurations."""

from typing import Any

from scratchformer.models import LlamaConfig
from scratchformer.pretrained.config_keys import Keys, shortest
from scratchformer.pretrained.families.common import HARMLESS, MUST_BE
from scratchformer.pretrained.families.gguf_heads import is_tied, rows_of
from scratchformer.pretrained.families.rotary import FACTORS, read_gguf_rotary, read_rotary
from scratchformer.pretrained.families.rotary_writing import write_rotary
from scratchformer.pretrained.families.table import Row, Sizes, Tensors, linear

TABLE, HEAD = "embed_tokens.weight", "lm_head.weight"
OF_LAYER, OF_BLOCK = "layers.{i}", "blk.{i}"

ROWS = (
    Row("token_embedding.table", TABLE, "token_embd.weight", ("vocabulary", "model")),
    Row(
        "blocks.{i}.attention_norm.weight",
        f"{OF_LAYER}.input_layernorm.weight",
        f"{OF_BLOCK}.attn_norm.weight",
        ("model",),
    ),
    *linear(
        "blocks.{i}.attention.query",
        f"{OF_LAYER}.self_attn.q_proj",
        f"{OF_BLOCK}.attn_q",
        ("model", "query"),
        bias="attention_bias",
        heads="num_heads",
    ),
    *linear(
        "blocks.{i}.attention.key_value",
        f"{OF_LAYER}.self_attn.k_proj",
        f"{OF_BLOCK}.attn_k",
        ("model", "key"),
        bias="attention_bias",
        heads="num_kv_heads",
    ),
    *linear(
        "blocks.{i}.attention.key_value",
        f"{OF_LAYER}.self_attn.v_proj",
        f"{OF_BLOCK}.attn_v",
        ("model", "key"),
        bias="attention_bias",
        before="key",
    ),
    *linear(
        "blocks.{i}.attention.output",
        f"{OF_LAYER}.self_attn.o_proj",
        f"{OF_BLOCK}.attn_output",
        ("query", "model"),
        bias="attention_output_bias",
    ),
    Row(
        "blocks.{i}.attention.query_norm.weight",
        f"{OF_LAYER}.self_attn.q_norm.weight",
        f"{OF_BLOCK}.attn_q_norm.weight",
        ("head",),
        needs="qk_norm",
    ),
    Row(
        "blocks.{i}.attention.key_norm.weight",
        f"{OF_LAYER}.self_attn.k_norm.weight",
        f"{OF_BLOCK}.attn_k_norm.weight",
        ("head",),
        needs="qk_norm",
    ),
    Row(
        "blocks.{i}.feed_forward_norm.weight",
        f"{OF_LAYER}.post_attention_layernorm.weight",
        f"{OF_BLOCK}.ffn_norm.weight",
        ("model",),
    ),
    *linear(
        "blocks.{i}.feed_forward.up",
        f"{OF_LAYER}.mlp.gate_proj",
        f"{OF_BLOCK}.ffn_gate",
        ("model", "hidden"),
        bias="feed_forward_bias",
    ),
    *linear(
        "blocks.{i}.feed_forward.up",
        f"{OF_LAYER}.mlp.up_proj",
        f"{OF_BLOCK}.ffn_up",
        ("model", "hidden"),
        bias="feed_forward_bias",
        before="hidden",
    ),
    *linear(
        "blocks.{i}.feed_forward.down",
        f"{OF_LAYER}.mlp.down_proj",
        f"{OF_BLOCK}.ffn_down",
        ("hidden", "model"),
        bias="feed_forward_bias",
    ),
    Row("norm.weight", "norm.weight", "output_norm.weight", ("model",)),
    Row("head.weight", HEAD, "output.weight", ("model", "vocabulary"), is_matrix=True, needs="head"),
)
COPIES = {HEAD: TABLE, "output.weight": "token_embd.weight"}
HARMLESS_TENSORS = {
    "rotary_emb.inv_freq": "rotary frequencies, which config.json gives",
    f"{OF_LAYER}.self_attn.rotary_emb.inv_freq": "rotary frequencies, which config.json gives",
    FACTORS: "factors of rotary frequencies, which became frequencies of the configuration",
    f"{OF_BLOCK}.attn_rot_embd": "rotary frequencies, which the metadata gives",
}


def sizes(config: LlamaConfig) -> Sizes:
    num_kv_heads = config.num_heads if config.num_kv_heads is None else config.num_kv_heads
    return {
        "num_layers": config.num_layers,
        "vocabulary": config.vocabulary_size,
        "model": config.d_model,
        "hidden": config.hidden_width,
        "head": config.head_width,
        "num_heads": config.num_heads,
        "num_kv_heads": num_kv_heads,
        "query": config.num_heads * config.head_width,
        "key": num_kv_heads * config.head_width,
    }


def options(config: LlamaConfig) -> frozenset[str]:
    output_bias = config.attention_bias if config.attention_output_bias is None else config.attention_output_bias
    chosen = {
        "attention_bias": config.attention_bias,
        "attention_output_bias": output_bias,
        "feed_forward_bias": config.feed_forward_bias,
        "qk_norm": config.qk_norm,
        "head": not config.tied_head,
    }
    return frozenset(name for name, is_chosen in chosen.items() if is_chosen)


def read_config(keys: Keys, *, kv_heads: int | None = None, **options: Any) -> LlamaConfig:
    """The configuration in config.json, of which the family took its own keys before.

    Args:
        kv_heads: number of heads of keys and values if there is no such key; None for as many as those of queries.
        options: of the LlamaConfig, beyond what all families say.
    """
    keys.must_be(MUST_BE)
    keys.choice("hidden_act", {"silu": "silu", "swish": "silu"}, "silu")
    num_heads, d_model = keys.integer("num_attention_heads"), keys.integer("hidden_size")
    if "d_head" not in options:
        options["d_head"] = keys.integer("head_dim", None, null=None)
    context_length = keys.integer("max_position_embeddings")
    d_head = d_model // num_heads if options["d_head"] is None else options["d_head"]
    config = LlamaConfig(
        vocabulary_size=keys.integer("vocab_size"),
        context_length=context_length,
        num_layers=keys.layers("num_hidden_layers"),
        num_heads=num_heads,
        num_kv_heads=keys.integer("num_key_value_heads", kv_heads, null=None),
        d_model=d_model,
        d_hidden=keys.integer("intermediate_size"),
        dropout=keys.number("attention_dropout", 0.0, null=0.0),
        eps=keys.number("rms_norm_eps", 1e-6),
        tied_head=keys.flag("tie_word_embeddings", False),
        **read_rotary(keys, d_head, context_length),
        **options,
    )
    if config.dropout:
        raise keys.refused(
            "attention_dropout", config.dropout, "0: dropout of attention weights alone is not supported"
        )
    keys.pass_over(HARMLESS)
    return config


def windows_of(keys: Keys, window: int | None, is_windowed: list[bool]) -> tuple[int | None, ...] | None:
    """For each layer its window, or None; `layer_types` wins over `is_windowed`, which the family says otherwise."""
    types = keys.words("layer_types")
    if types is not None:
        kinds = {"sliding_attention": True, "full_attention": False}
        if len(types) != len(is_windowed) or not set(types) <= set(kinds):
            raise keys.refused("layer_types", types, f"{len(is_windowed)} times sliding_attention or full_attention")
        is_windowed = [kinds[one] for one in types]
        if window is None and any(is_windowed):
            raise keys.refused("layer_types", types, "full_attention alone, as there is no window")
    windows = tuple(window if one else None for one in is_windowed)
    return windows if any(windows) else None


def read_metadata(keys: Keys, tensors: Tensors, **options: Any) -> LlamaConfig:
    """The configuration in a GGUF file's metadata. The tensors tell which biases there are, and whether the head is
    tied: it is, if there is none, or its bytes are those of the table."""
    num_heads, d_model = keys.integer("attention.head_count"), keys.integer("embedding_length")
    d_head = keys.integer("attention.key_length", d_model // num_heads)
    keys.must_be({"attention.value_length": (d_head,), "attention.sliding_window": (0,), "expert_count": (0,)})
    keys.must_be({"expert_used_count": (0,), "attention.causal": (True,)})
    context_length = keys.integer("context_length")
    has_bias, has_output_bias = ("blk.0.attn_q.bias" in tensors, "blk.0.attn_output.bias" in tensors)
    return LlamaConfig(
        vocabulary_size=rows_of(tensors, "token_embd.weight", keys.integer("vocab_size", None)),
        context_length=context_length,
        num_layers=keys.layers("block_count"),
        num_heads=num_heads,
        num_kv_heads=keys.integer("attention.head_count_kv", None),
        d_model=d_model,
        d_hidden=keys.integer("feed_forward_length"),
        eps=shortest(keys.number("attention.layer_norm_rms_epsilon")),
        tied_head=is_tied(tensors),
        d_head=d_head,
        attention_bias=has_bias,
        attention_output_bias=None if has_output_bias == has_bias else has_output_bias,
        feed_forward_bias="blk.0.ffn_up.bias" in tensors,
        **read_gguf_rotary(keys, tensors, d_head, context_length),
        **options,
    )


def written(config: LlamaConfig, **values: Any) -> dict[str, Any]:
    """What config.json says about a model, with what a family adds.

    Raises ValueError for what no family can say.
    """
    refuse("config.json", config, "dropout")
    if config.d_model % config.num_heads:
        raise ValueError(f"transformers wants num_heads {config.num_heads} to divide d_model {config.d_model}")
    return {
        "vocab_size": config.vocabulary_size,
        "max_position_embeddings": config.context_length,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_heads if config.num_kv_heads is None else config.num_kv_heads,
        "hidden_size": config.d_model,
        "intermediate_size": config.hidden_width,
        "head_dim": config.head_width,
        "hidden_act": "silu",
        "rms_norm_eps": config.eps,
        "attention_dropout": 0.0,
        "tie_word_embeddings": config.tied_head,
        **write_rotary(config),
        **values,
    }


def refuse(title: str, config: LlamaConfig, *names: str) -> None:
    """Raises ValueError for an option that is on, but cannot be said."""
    for name in names:
        if getattr(config, name):
            raise ValueError(f"{title} has no {name}")


def refuse_other_output_bias(title: str, config: LlamaConfig) -> None:
    """Raises ValueError unless all projections of attention have biases, or none has."""
    if config.attention_output_bias not in (None, config.attention_bias):
        raise ValueError(f"in {title} attention_output_bias is attention_bias")


def window_of(title: str, config: LlamaConfig) -> int | None:
    """The window of the layers that have one. Raises ValueError for more than one."""
    widths = {window for window in config.windows or () if window is not None}
    if len(widths) > 1:
        raise ValueError(f"in {title} all windows are the same, not {' or '.join(map(str, sorted(widths)))}")
    return widths.pop() if widths else None
