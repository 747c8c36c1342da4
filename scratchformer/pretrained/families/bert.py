"""BERT, with and without its heads."""

import re
from typing import Any

from scratchformer.models import BERT, BERTConfig
from scratchformer.pretrained.config_keys import Keys, shortest
from scratchformer.pretrained.families.common import ACTIVATIONS, HARMLESS, MUST_BE, NAMES_OF_ACTIVATIONS
from scratchformer.pretrained.families.gguf_heads import rows_of
from scratchformer.pretrained.families.gpt2 import one_dropout
from scratchformer.pretrained.families.table import Family, Row, Sizes, Tensors, layer_norm, linear

TABLE = "embeddings.word_embeddings.weight"
OF_LAYER, OF_BLOCK = "encoder.layer.{i}", "blk.{i}"
OF_NEXT_SENTENCE = "the head that says whether one sentence follows another, which changes nothing else"
OLD = re.compile(r"LayerNorm\.(gamma|beta)$")
NEW = {"gamma": "weight", "beta": "bias"}
DROPOUTS = "hidden_dropout_prob", "attention_probs_dropout_prob"


def renamed(name: str) -> str:
    """Norms have other names in files that came from TensorFlow."""
    return OLD.sub(lambda match: f"LayerNorm.{NEW[match[1]]}", name)


def sizes(config: BERTConfig) -> Sizes:
    return {
        "num_layers": config.num_layers,
        "vocabulary": config.vocabulary_size,
        "context": config.context_length,
        "segments": config.num_segments,
        "classes": config.num_classes or 0,
        "model": config.d_model,
        "hidden": config.hidden_width,
    }


def options(config: BERTConfig) -> frozenset[str]:
    chosen = {
        "masked_head": config.masked_head,
        "pooler": config.pooler,
        "class_head": config.num_classes is not None,
    }
    return frozenset(name for name, is_chosen in chosen.items() if is_chosen)


def read_config(keys: Keys, tensors: Tensors) -> BERTConfig:
    """The configuration in config.json; which heads there are, the tensors say."""
    keys.must_be(MUST_BE | {"position_embedding_type": ("absolute",), "tie_word_embeddings": (True,)})
    dropout = one_dropout(keys, DROPOUTS)
    keys.must_be({"classifier_dropout": (None, dropout)})
    keys.pass_over(HARMLESS)
    classifier = tensors.get("classifier.weight")
    return BERTConfig(
        vocabulary_size=keys.integer("vocab_size"),
        context_length=keys.integer("max_position_embeddings"),
        num_layers=keys.layers("num_hidden_layers"),
        num_heads=keys.integer("num_attention_heads"),
        d_model=keys.integer("hidden_size"),
        d_hidden=keys.integer("intermediate_size"),
        num_segments=keys.integer("type_vocab_size", 2),
        num_classes=classifier.shape[0] if classifier is not None and classifier.shape else None,
        dropout=dropout,
        eps=keys.number("layer_norm_eps", 1e-12),
        activation=keys.choice("hidden_act", ACTIVATIONS, "gelu"),
        masked_head="cls.predictions.transform.dense.weight" in tensors,
        pooler=classifier is None and "pooler.dense.weight" in tensors,
    )


def read_metadata(keys: Keys, tensors: Tensors) -> BERTConfig:
    """The configuration in a GGUF file's metadata. Such files have no heads, and do not name the activation."""
    keys.must_be({"attention.causal": (False,)})
    keys.pass_over(["pooling_type"])
    return BERTConfig(
        vocabulary_size=rows_of(tensors, "token_embd.weight", keys.integer("vocab_size", None)),
        context_length=keys.integer("context_length"),
        num_layers=keys.layers("block_count"),
        num_heads=keys.integer("attention.head_count"),
        d_model=keys.integer("embedding_length"),
        d_hidden=keys.integer("feed_forward_length"),
        num_segments=rows_of(tensors, "token_types.weight", None),
        eps=shortest(keys.number("attention.layer_norm_epsilon")),
        masked_head=False,
    )


def write_config(config: BERTConfig) -> dict[str, Any]:
    if config.norm_first:
        raise ValueError("BERT has no norm_first")
    if config.activation not in NAMES_OF_ACTIVATIONS:
        raise ValueError(f"BERT has no activation {config.activation}")
    if config.pooler and config.num_classes is not None:
        raise ValueError("BERT has one pooler, of which num_classes needs another")
    classes = {} if config.num_classes is None else {str(i): f"LABEL_{i}" for i in range(config.num_classes)}
    return {
        "vocab_size": config.vocabulary_size,
        "max_position_embeddings": config.context_length,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "hidden_size": config.d_model,
        "intermediate_size": config.hidden_width,
        "type_vocab_size": config.num_segments,
        "layer_norm_eps": config.eps,
        "hidden_act": NAMES_OF_ACTIVATIONS[config.activation],
        "position_embedding_type": "absolute",
        **dict.fromkeys(DROPOUTS, config.dropout),
        **({"id2label": classes, "label2id": {name: int(i) for i, name in classes.items()}} if classes else {}),
    }


def class_of(config: BERTConfig) -> str:
    if config.num_classes is not None:
        return "BertForSequenceClassification"
    return "BertForMaskedLM" if config.masked_head else "BertModel"


MODEL = ("model", "model")
BERT_FAMILY = Family(
    name="bert",
    title="BERT",
    model_type=BERT,
    architecture="bert",
    classes=("BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForSequenceClassification"),
    class_of=class_of,
    prefix="bert.",
    heads=("cls.", "classifier."),
    rows=(
        Row("token_embedding.table", TABLE, "token_embd.weight", ("vocabulary", "model")),
        Row(
            "position_embedding.table",
            "embeddings.position_embeddings.weight",
            "position_embd.weight",
            ("context", "model"),
        ),
        Row(
            "segment_embedding.table",
            "embeddings.token_type_embeddings.weight",
            "token_types.weight",
            ("segments", "model"),
        ),
        *layer_norm("embedding_norm", "embeddings.LayerNorm", "token_embd_norm", "model"),
        *linear("blocks.{i}.attention.query", f"{OF_LAYER}.attention.self.query", f"{OF_BLOCK}.attn_q", MODEL),
        *linear("blocks.{i}.attention.key_value", f"{OF_LAYER}.attention.self.key", f"{OF_BLOCK}.attn_k", MODEL),
        *linear(
            "blocks.{i}.attention.key_value",
            f"{OF_LAYER}.attention.self.value",
            f"{OF_BLOCK}.attn_v",
            MODEL,
            before="model",
        ),
        *linear("blocks.{i}.attention.output", f"{OF_LAYER}.attention.output.dense", f"{OF_BLOCK}.attn_output", MODEL),
        *layer_norm(
            "blocks.{i}.attention_norm",
            f"{OF_LAYER}.attention.output.LayerNorm",
            f"{OF_BLOCK}.attn_output_norm",
            "model",
        ),
        *linear(
            "blocks.{i}.feed_forward.up",
            f"{OF_LAYER}.intermediate.dense",
            f"{OF_BLOCK}.ffn_up",
            ("model", "hidden"),
        ),
        *linear(
            "blocks.{i}.feed_forward.down", f"{OF_LAYER}.output.dense", f"{OF_BLOCK}.ffn_down", ("hidden", "model")
        ),
        *layer_norm(
            "blocks.{i}.feed_forward_norm",
            f"{OF_LAYER}.output.LayerNorm",
            f"{OF_BLOCK}.layer_output_norm",
            "model",
        ),
        *linear("pooler.linear", "pooler.dense", "", MODEL, needs="pooler"),
        *linear("class_head.linear", "pooler.dense", "", MODEL, needs="class_head"),
        *linear("class_head.output", "classifier", "", ("model", "classes"), needs="class_head"),
        *linear("masked_head.linear", "cls.predictions.transform.dense", "", MODEL, needs="masked_head"),
        *layer_norm("masked_head.norm", "cls.predictions.transform.LayerNorm", "", "model", needs="masked_head"),
        Row("masked_head.bias", "cls.predictions.bias", "", ("vocabulary",), needs="masked_head"),
    ),
    sizes=sizes,
    options=options,
    read_config=read_config,
    read_metadata=read_metadata,
    write_config=write_config,
    renamed=renamed,
    copies={
        "cls.predictions.decoder.weight": TABLE,
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    harmless={
        "embeddings.position_ids": "the numbers from 0 on",
        "cls.seq_relationship.weight": OF_NEXT_SENTENCE,
        "cls.seq_relationship.bias": OF_NEXT_SENTENCE,
    },
)
