"""transformers in float64 throughout.

Its rotary frequencies, its RMS norm and the softmax of its eager attention go through float32, whatever the dtype of
the model. Each of these modules knows float32 as an attribute of `torch`; here they see a `torch` whose float32 is
float64.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy import ndarray

from scratchformer.models import BERT
from scratchformer.pretrained.saving import stored_tensors
from tests.pretrained.small_models import BY_NAME, Model

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install -e '.[parity]'")
transformers = pytest.importorskip("transformers", reason="transformers is not installed; pip install transformers")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SINGLE = ("modeling_rope_utils", *(f"models.{name}.modeling_{name}" for name in ("llama", "mistral", "qwen2", "qwen3")))


class WideTorch(ModuleType):
    """PyTorch, in which float32 is float64."""

    float = float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextmanager
def exact() -> Iterator[None]:
    """Lets models of transformers that are made inside compute in float64 alone."""
    for name in SINGLE:
        __import__(f"transformers.{name}")
    wide = WideTorch("torch")
    patches = [patch.object(sys.modules[f"transformers.{name}"], "torch", wide) for name in SINGLE]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


def opened(folder: Path, dtype: Any = torch.float64) -> Any:
    """The model in a folder, as the class that its config.json names."""
    config = transformers.AutoConfig.from_pretrained(folder)
    kind = getattr(transformers, config.architectures[0])
    options = {"add_pooling_layer": False} if config.architectures == ["BertModel"] and not has_pooler(folder) else {}
    model, said = kind.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", output_loading_info=True, **options
    )
    assert not said["missing_keys"]
    assert not said["mismatched_keys"]
    model.config.return_dict = True
    for module in model.modules():
        if hasattr(module, "reorder_and_upcast_attn"):
            module.reorder_and_upcast_attn = False  # it refuses float64
        if isinstance(module, torch.nn.Embedding):
            module.padding_idx = None  # else that row of the table has no gradient
    return model.eval()


def has_pooler(folder: Path) -> bool:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "numpy") as file:
        return any(name.endswith("pooler.dense.weight") for name in file.keys())  # noqa: SIM118


def family_name(model: Any) -> str:
    return str(model.config.model_type)


def theirs(model: Any, ids: ndarray) -> Any:
    """The output that is compared."""
    output = model(torch.from_numpy(ids))
    if family_name(model) != "bert" or not hasattr(output, "last_hidden_state"):
        return output.logits
    return output.last_hidden_state if model.pooler is None else output.pooler_output


def ours(model: Model, ids: ndarray) -> tuple[ndarray, Any]:
    """The same output of our model, and its backward."""
    if not isinstance(model, BERT):
        return model(ids)
    if model.class_head is not None:
        return model.classify(ids)
    if model.masked_head is None and model.pooler is not None:
        return model.pooled(ids)
    encoded, encoder_backward = model(ids)
    if model.masked_head is None:
        return encoded, encoder_backward
    logits, head_backward = model.masked_head(encoded)
    return logits, lambda dlogits: encoder_backward(head_backward(dlogits))


def gradients(model: Model, family: str) -> dict[str, ndarray]:
    """Our gradients by the names of transformers."""
    twin = model.astype(np.float64)
    twin.values[...] = model.grads
    return stored_tensors(BY_NAME[family], twin)


def compare(model: Model, judge: Any, ids: ndarray, cotangent: ndarray, tolerance: float = 1e-10) -> None:
    """Outputs and all gradients; then both take a step of SGD. Differences are relative to the largest value."""
    for parameter in judge.parameters():
        parameter.grad = None
    model.grads[...] = 0
    y, backward = ours(model, ids)
    z = theirs(judge, ids)
    near(y, z.detach().numpy(), "output", tolerance)
    backward(cotangent.astype(y.dtype))
    (z * torch.from_numpy(cotangent)).sum().backward()
    found, names = gradients(model, family_name(judge)), set()
    for name, parameter in judge.named_parameters():
        if parameter.grad is not None:
            names.add(name)
            near(found[name], parameter.grad.numpy(), name, tolerance)
    unused = {name for name in set(found) - names if found[name].any()}
    assert not unused, unused


def step(model: Model, judge: Any, rate: float) -> None:
    """One step of SGD in both."""
    model.values -= rate * model.grads
    with torch.no_grad():
        for parameter in judge.parameters():
            if parameter.grad is not None:
                parameter -= rate * parameter.grad


def near(x: ndarray, expected: ndarray, name: str, tolerance: float) -> None:
    assert x.shape == expected.shape, name
    scale = max(np.abs(expected).max(), 1.0) if name == "output" else max(np.abs(expected).max(), 1e-3)
    difference = np.abs(x - expected).max() / scale
    assert difference < tolerance, f"{name} differs by {difference:.1e}"


def weights_of(judge: Any) -> Mapping[str, ndarray]:
    return {name: parameter.detach().numpy() for name, parameter in judge.named_parameters()}
