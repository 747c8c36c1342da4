"""SmolLM2 and MiniLM themselves, where `pretrained get` has brought them, against transformers made exact."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.generation import generate, greedy
from scratchformer.models import BERT, Llama
from scratchformer.pretrained import load, load_tokenizer, save
from tests.commands.test_real_models import path_of

pytest.importorskip("torch", reason="PyTorch is not installed; pip install -e '.[parity]'")
pytest.importorskip("transformers", reason="transformers is not installed; pip install transformers")

from tests.pretrained import exact_transformers as judge

torch = judge.torch

pytestmark = [pytest.mark.long, pytest.mark.real]

PROMPTS = [
    "Once upon a time",
    "The capital of France is",
    "def fibonacci(n):\n",
    "2, 4, 8, 16,",
    "My favourite café in Zürich serves naïve",
]
NUM_TOKENS = 40
NEARLY_EQUAL = 1e-3
"""Two best logits that lie this close may change places in float32."""

OF_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTSIDE = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}


def judged_name(name: str) -> str:
    if name in OUTSIDE:
        return OUTSIDE[name]
    _, i, part, kind = name.split(".")
    return f"model.layers.{i}.{OF_BLOCK[part]}.{kind}"


def dequantised(path: Path) -> Iterator[tuple[str, ndarray]]:
    """The tensors of SmolLM2 by their names in transformers, with features of rotary pairs half a head apart."""
    from gguf import GGUFReader, dequantize

    for tensor in GGUFReader(path).tensors:
        value = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
            value = value.reshape(-1, 32, 2, 576).swapaxes(1, 2).reshape(-1, 576)  # (heads, pairs, 2, in)
        yield judged_name(tensor.name), value


@pytest.fixture(scope="module")
def exact_smollm2() -> Iterator[Any]:
    path = path_of("smollm2")
    config = judge.transformers.LlamaConfig(
        vocab_size=49_152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        tie_word_embeddings=True,
        attn_implementation="eager",
    )
    with judge.exact(), torch.device("meta"):
        model = judge.transformers.LlamaForCausalLM(config)
    with judge.exact():
        model = model.double().to_empty(device="cpu").eval()
        model.model.rotary_emb = judge.transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config)
        model.tie_weights()
        filled = dict(model.named_parameters())
        for name, value in dequantised(path):
            filled.pop(name).data.copy_(torch.from_numpy(value))
        assert not filled
        yield model


@pytest.fixture(scope="module")
def smollm2() -> Llama:
    model = load(path_of("smollm2"))
    assert isinstance(model, Llama)
    return model


@pytest.fixture(scope="module")
def prompts() -> list[ndarray]:
    tokenizer = load_tokenizer(path_of("smollm2"))
    encoded = [tokenizer.encode(prompt) for prompt in PROMPTS]
    assert len({len(ids) for ids in encoded}) > 1  # else nothing is padded
    return encoded


def exact_logits(model: Any, ids: ndarray) -> ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(ids[None].astype(np.int64))).logits[0].numpy()


def test_smollm2_in_float64_has_the_outputs_and_gradients_of_transformers(exact_smollm2: Any, prompts: list[ndarray]):
    model = load(path_of("smollm2"), np.float64)
    ids = np.concatenate(prompts)[None, :24].astype(np.int64)
    cotangent = np.random.default_rng(0).standard_normal((*ids.shape, 49_152))
    judge.compare(model, exact_smollm2, ids, cotangent)
    exact_smollm2.zero_grad()


def test_smollm2_in_float32_has_the_logits_of_transformers(smollm2: Llama, exact_smollm2: Any, prompts: list[ndarray]):
    for ids in (*prompts, np.concatenate(prompts)):
        np.testing.assert_allclose(smollm2(ids)[0], exact_logits(exact_smollm2, ids), rtol=0, atol=2e-4)


def answers(model: Llama, prompts: list[ndarray], use_cache: bool) -> ndarray:
    steps = generate(
        model, prompts, NUM_TOKENS, context_length=model.config.context_length, choose=greedy, use_cache=use_cache
    )
    return np.stack(list(steps), axis=-1)


def check_greedy(model: Any, prompt: ndarray, answer: ndarray) -> None:
    """Each token is the one that the exact logits choose after the prompt and the tokens before it."""
    assert len(answer) == NUM_TOKENS
    logits = exact_logits(model, np.concatenate([prompt, answer[:-1]]))[len(prompt) - 1 :]
    best = logits.max(axis=-1)
    chosen = logits[np.arange(NUM_TOKENS), answer]
    assert (best - chosen <= np.where(answer == logits.argmax(axis=-1), 0, NEARLY_EQUAL)).all()


@pytest.mark.parametrize("way", ["cached", "batched", "uncached"])
def test_smollm2_decodes_the_tokens_of_transformers(
    way: str, smollm2: Llama, exact_smollm2: Any, prompts: list[ndarray]
):
    groups = [prompts] if way == "batched" else [[prompt] for prompt in prompts]
    found = np.concatenate([answers(smollm2, group, use_cache=way != "uncached") for group in groups])
    for prompt, answer in zip(prompts, found, strict=True):
        check_greedy(exact_smollm2, prompt, answer)


def test_smollm2_that_was_saved_has_the_same_bits_in_transformers(smollm2: Llama, tmp_path: Path):
    opened = judge.opened(save(smollm2, tmp_path), torch.float32)
    parameters = judge.weights_of(opened)
    for name, value in dequantised(path_of("smollm2")):
        np.testing.assert_array_equal(parameters[name], value, err_msg=name)
    assert len(parameters) == 2 + 30 * len(OF_BLOCK)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_minilm_has_the_outputs_and_gradients_of_transformers(dtype: type):
    folder = path_of("minilm")
    model, theirs = load(folder, dtype), judge.opened(folder)
    assert isinstance(model, BERT)
    generator = np.random.default_rng(1)
    ids, segments = generator.integers(0, 30_522, (3, 20)), generator.integers(0, 2, (3, 20))
    lengths = np.array([20, 7, 1])
    is_token = np.arange(20) < lengths[:, None]
    y, y_backward = model(ids, segments, lengths=lengths)
    pooled, pooled_backward = model.pooled(ids, segments, lengths=lengths)
    output = theirs(
        torch.from_numpy(ids),
        attention_mask=torch.from_numpy(is_token.astype(np.int64)),
        token_type_ids=torch.from_numpy(segments),
    )
    z, z_pooled = output.last_hidden_state, output.pooler_output
    tolerance = 1e-10 if dtype == np.float64 else 2e-4
    judge.near(y[is_token], z.detach().numpy()[is_token], "output", tolerance)
    judge.near(pooled, z_pooled.detach().numpy(), "output", tolerance)
    if dtype == np.float32:
        return
    dy, dpooled = generator.standard_normal(y.shape) * is_token[..., None], generator.standard_normal(pooled.shape)
    y_backward(dy)
    pooled_backward(dpooled)
    ((z * torch.from_numpy(dy)).sum() + (z_pooled * torch.from_numpy(dpooled)).sum()).backward()
    found = judge.gradients(model, "bert")
    for name, parameter in theirs.named_parameters():
        judge.near(found.pop(name), parameter.grad.numpy(), name, 1e-10)
    assert not found
