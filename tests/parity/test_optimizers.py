import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from scratchformer.optim import SGD, Adam, AdamW, Optimizer, clip_global_norm, global_norm
from scratchformer.optim.spans import SPAN
from tests.optim.vectors import Vector, random_vector
from tests.parity.comparing import compare, tensor, torch
from tests.strategies import normal, seeds

NUM_STEPS = 20

sizes = st.integers(1, 40)
betas = st.tuples(st.sampled_from([0.0, 0.5, 0.9]), st.sampled_from([0.0, 0.9, 0.999]))
epsilons = st.sampled_from([1e-8, 1e-3])


def parts(vector: ndarray, num_decayed: int) -> list[ndarray]:
    return [vector[:num_decayed], vector[num_decayed:]]


def compare_steps(
    ours: Optimizer, theirs: torch.optim.Optimizer, states: dict[str, str], seed: int, num_steps: int = NUM_STEPS
) -> None:
    """Both see the same random gradients and changing rates; parameters agree after each step, states (by name) too.

    Theirs holds the decayed elements in its first group, the others in its second.
    """
    vector: Vector = ours.parameters
    generator = np.random.default_rng([seed, 1])
    tensors = [group["params"][0] for group in theirs.param_groups]
    for step in range(num_steps):
        vector.grads[...] = generator.normal(size=vector.grads.size) * generator.choice([0.01, 1.0, 10.0])
        learning_rate = 0.0 if step == 3 else generator.choice([1e-3, 0.1]) * generator.random()
        ours.step(learning_rate)
        for group, array in zip(theirs.param_groups, parts(vector.grads, vector.num_decayed), strict=True):
            group["lr"] = learning_rate
            group["params"][0].grad = tensor(array)
        theirs.step()
        found = {"values": vector.values} | {name: ours.state[name] for name in states}
        expected = {"values": tensors} | {
            name: [theirs.state[p][their] for p in tensors] for name, their in states.items()
        }
        compare(
            {f"{name} after step {step}": array for name, array in found.items()},
            {f"{name} after step {step}": torch.cat(both).detach().numpy() for name, both in expected.items()},
        )


def groups(vector: Vector, weight_decay: float = 0.0) -> list[dict]:
    decays = (weight_decay, 0.0)
    tensors = [tensor(array, is_differentiated=True) for array in parts(vector.values, vector.num_decayed)]
    return [{"params": [p], "weight_decay": decay} for p, decay in zip(tensors, decays, strict=True)]


@given(size=sizes, betas=betas, eps=epsilons, seed=seeds)
def test_adam(size: int, betas: tuple[float, float], eps: float, seed: int) -> None:
    vector = random_vector(size, size // 2, seed)
    theirs = torch.optim.Adam(groups(vector), betas=betas, eps=eps)
    compare_steps(Adam(vector, betas=betas, eps=eps), theirs, {"m": "exp_avg", "v": "exp_avg_sq"}, seed)


@given(data=st.data(), size=sizes, betas=betas, eps=epsilons, decay=st.sampled_from([0.0, 0.01, 0.5]), seed=seeds)
def test_adamw(data: st.DataObject, size: int, betas: tuple[float, float], eps: float, decay: float, seed: int) -> None:
    vector = random_vector(size, data.draw(st.integers(0, size)), seed)
    theirs = torch.optim.AdamW(groups(vector, decay), betas=betas, eps=eps)
    ours = AdamW(vector, betas=betas, eps=eps, weight_decay=decay)
    compare_steps(ours, theirs, {"m": "exp_avg", "v": "exp_avg_sq"}, seed)


@pytest.mark.parametrize("num_decayed", [SPAN - 1, SPAN, SPAN + 1])
def test_adamw_where_spans_meet(num_decayed: int) -> None:
    vector = random_vector(SPAN + 3, num_decayed, 1)
    theirs = torch.optim.AdamW(groups(vector, 0.5))
    compare_steps(AdamW(vector, weight_decay=0.5), theirs, {"m": "exp_avg", "v": "exp_avg_sq"}, 1, num_steps=2)


def test_the_defaults_are_theirs() -> None:
    vector = random_vector(7, 7, 1)
    for ours, theirs in ((Adam, torch.optim.Adam), (AdamW, torch.optim.AdamW), (SGD, torch.optim.SGD)):
        tensors = [tensor(array, is_differentiated=True) for array in parts(vector.values, 7)]
        compare_steps(ours(vector), theirs([{"params": [p]} for p in tensors], lr=0.1), {}, 1)


@given(size=sizes, momentum=st.sampled_from([0.0, 0.5, 0.9]), nesterov=st.booleans(), seed=seeds)
def test_sgd(size: int, momentum: float, nesterov: bool, seed: int) -> None:
    options = {"momentum": momentum, "nesterov": nesterov and momentum > 0}
    vector = random_vector(size, size // 2, seed)
    states = {"velocity": "momentum_buffer"} if momentum else {}
    compare_steps(SGD(vector, **options), torch.optim.SGD(groups(vector), lr=0.1, **options), states, seed)


@given(
    size=sizes,
    cut=st.integers(0, 40),
    scale=st.sampled_from([0.1, 1.0, 1e3]),
    share=st.sampled_from([0.01, 0.5, 0.9, 1.1, 30.0]),
    seed=seeds,
)
def test_clip_global_norm(size: int, cut: int, scale: float, share: float, seed: int) -> None:
    """PyTorch divides by |g| + 1e-6, so what it clips is smaller by the factor |g| / (|g| + 1e-6)."""
    (grads,) = normal(seed, (size,), scale=scale)
    norm = float(np.linalg.norm(grads))
    max_norm = share * norm
    tensors = [tensor(array, is_differentiated=True) for array in parts(grads, min(cut, size))]
    for p in tensors:
        p.grad = p.detach().clone()
    their_norm = torch.nn.utils.clip_grad_norm_(tensors, max_norm)
    theirs = torch.cat([p.grad for p in tensors]).numpy()

    our_norm = clip_global_norm(grads, max_norm)
    factor = norm / (norm + 1e-6) if share < 1 else 1.0
    compare({"norm": np.array(our_norm), "grads": factor * grads}, {"norm": their_norm.numpy(), "grads": theirs})
    compare({"norm": np.array(global_norm(grads))}, {"norm": np.array(min(norm, max_norm))})
