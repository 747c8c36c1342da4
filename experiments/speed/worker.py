"""What one fresh process of `speed.py` does: it is given one request as JSON and prints its answer as a JSON line."""

import cProfile
import json
import math
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load_file, save_file
from threadpoolctl import threadpool_limits

from scratchformer.layers.multi_head_attention import BLOCKWISE_FROM
from scratchformer.models import GPT, GPTConfig
from scratchformer.ops import blockwise_attention, scaled_dot_product_attention
from scratchformer.optim import AdamW, Constant
from scratchformer.text import TokenBatch
from scratchformer.training import Trainer, keep_freed_memory, next_token_loss

LEARNING_RATE, BETAS, WEIGHT_DECAY, MAX_NORM = 1e-3, (0.9, 0.99), 0.1, 1.0

Results = Sequence[Sequence[Any]]
"""What one step computed, numbers or arrays, by thread."""
Step = Callable[[int], Results]
"""Does the step of this index, which chooses the batch."""

Request = Mapping[str, Any]
"""`job`, `side` ("ours" or "pytorch"), `kind` ("training" or "attention"), `threads`, and what they need."""

Function = tuple[str, int, str]
"""How the profiler names a function: file, line, name."""


def make_batches(request: Request) -> list[TokenBatch]:
    """Random tokens for every step, those of the warm-up included."""
    shape = (request["warmup"] + request["steps"], request["batch"], request["model"]["context_length"] + 1)
    ids = np.random.default_rng(0).integers(request["model"]["vocabulary_size"], size=shape)
    return [TokenBatch(tokens[:, :-1], tokens[:, 1:]) for tokens in ids]


@contextmanager
def our_training(request: Request) -> Iterator[Step]:
    model = GPT(GPTConfig(**request["model"]), generator=np.random.default_rng(0))
    if "weights" in request:
        tensors = load_file(request["weights"])
        for name, parameter in model.parameters().items():
            parameter.value[...] = tensors[name]
    trainer = Trainer(
        model,
        AdamW(model, betas=BETAS, weight_decay=WEIGHT_DECAY),
        Constant(LEARNING_RATE),
        next_token_loss,
        max_norm=MAX_NORM,
        num_workers=request["threads"],
    )
    batches = make_batches(request)

    def step(index: int) -> Results:
        done = trainer.step([batches[index]])
        return [(done.loss, done.gradient_norm)]

    with trainer:
        yield step


@contextmanager
def pytorch_training(request: Request) -> Iterator[Step]:
    torch = import_torch(request)
    from experiments.speed import pytorch_gpt

    model = pytorch_gpt.GPT(GPTConfig(**request["model"]))
    if "weights" in request:
        weights = pytorch_weights(load_file(request["weights"]))
        model.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
    optimizer = pytorch_gpt.make_optimizer(model, learning_rate=LEARNING_RATE, betas=BETAS, weight_decay=WEIGHT_DECAY)
    batches = [(torch.tensor(batch.ids), torch.tensor(batch.targets)) for batch in make_batches(request)]

    def step(index: int) -> Results:
        optimizer.zero_grad()
        loss = model.loss(*batches[index])
        loss.backward()
        # Beside clipping and in float64: the norm that it returns is only good to 1e-4 where tables are large.
        checked = model.parameters() if "weights" in request else ()
        exact = [parameter.grad.double().norm().item() for parameter in checked]
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        return [(loss.item(), math.hypot(*exact))]

    yield step


@contextmanager
def our_attention(request: Request) -> Iterator[Step]:
    """Each thread takes a share of the heads, as each of the trainer's takes a share of the batch.

    Dense or blockwise, as `MultiHeadAttention` chooses.
    """
    keep_freed_memory()
    shards = np.array_split(attention_inputs(request), request["threads"], axis=2)
    attend = blockwise_attention if request["length"] >= BLOCKWISE_FROM else scaled_dot_product_attention

    def work(shard: np.ndarray) -> Sequence[np.ndarray]:
        query, key, value, dy = shard
        y, backward = attend(query, key, value, is_causal=True)
        dquery, dkey, dvalue, _ = backward(dy)
        return y, dquery, dkey, dvalue

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(request["threads"]) as pool:
        yield lambda index: list(pool.map(work, shards))


@contextmanager
def pytorch_attention(request: Request) -> Iterator[Step]:
    torch = import_torch(request)
    query, key, value, dy = (torch.from_numpy(array) for array in attention_inputs(request))
    inputs = [tensor.requires_grad_() for tensor in (query, key, value)]

    def step(index: int) -> Results:
        y = torch.nn.functional.scaled_dot_product_attention(*inputs, is_causal=True)
        return [(y.detach(), *torch.autograd.grad(y, inputs, dy))]

    yield step


STEPS = {
    ("ours", "training"): our_training,
    ("ours", "attention"): our_attention,
    ("pytorch", "training"): pytorch_training,
    ("pytorch", "attention"): pytorch_attention,
}


def attention_inputs(request: Request) -> np.ndarray:
    """Query, key, value and the output's gradient, one sequence each."""
    shape = (4, 1, request["heads"], request["length"], request["features"])
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def import_torch(request: Request) -> Any:
    """Where it is needed, as it is not installed everywhere."""
    import torch

    torch.set_num_threads(request["threads"])
    torch.manual_seed(0)
    return torch


def write_weights(request: Request) -> None:
    """Weights away from where training starts, gains of norms too, for both sides to begin from."""
    generator = np.random.default_rng(1)
    model = GPT(GPTConfig(**request["model"]), generator=generator)
    tensors = {
        name: parameter.value + np.float32(0.05) * generator.standard_normal(parameter.value.shape, dtype=np.float32)
        for name, parameter in model.parameters().items()
    }
    save_file(tensors, request["weights"])


def pytorch_weights(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our weights by the names of `pytorch_gpt.GPT` and in its layout.

    Ours are (in, out), PyTorch's (out, in); where we keep the query's weight (d, d) and that of key and value (d, 2d),
    it has one, (3d, d). Tables and gains are the same.
    """
    converted = {}
    for name, tensor in tensors.items():
        if name.endswith(".query.weight"):
            key_value = tensors[name.replace(".query.", ".key_value.")]
            converted[name.replace(".query.", ".qkv.")] = np.concatenate([tensor, key_value], axis=1).T
        elif name.endswith(".table"):
            converted[name.replace(".table", ".weight")] = tensor
        elif not name.endswith(".key_value.weight"):
            converted[name] = tensor.T
    converted["head.weight"] = converted["token_embedding.weight"]
    return converted


def check(request: Request) -> list[list[float]]:
    """For every step, the norm of each thing that it computed: the loss, the gradient's norm, or attention's arrays."""
    with STEPS[request["side"], request["kind"]](request) as step:
        return [norms(step(index)) for index in range(request["steps"])]


def norms(results: Results) -> list[float]:
    # In float64: a sum of millions of squares in float32 is off by 1e-4.
    return [
        math.hypot(*(float(np.linalg.norm(np.asarray(part, np.float64))) for part in parts))
        for parts in zip(*results, strict=True)
    ]


def measure(request: Request) -> dict[str, float]:
    """The milliseconds of the timed steps, the most memory that this process ever held, and how much of it steps took.

    `working_memory` is what was held beyond that before the first step, without what steps return.
    """
    milliseconds = []
    with STEPS[request["side"], request["kind"]](request) as step:
        before, returned = memory("VmRSS"), 0
        for index in range(request["warmup"] + request["steps"]):
            start = time.perf_counter()
            results = step(index)
            milliseconds.append(1e3 * (time.perf_counter() - start))
            returned = sum(getattr(result, "nbytes", 0) for part in results for result in part)
            del results  # lest the next step work beside them
    timed = milliseconds[request["warmup"] :]
    peak = memory("VmHWM")
    figures = {"median": median(timed), "least": min(timed), "most": max(timed)}
    return figures | {"peak_memory": peak, "working_memory": peak - before - returned}


def memory(quantity: Literal["VmHWM", "VmRSS"]) -> int:
    """Bytes held at most or now, from /proc where there is one: ru_maxrss is the most, the parent process's too."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(rf"{quantity}:\s*(\d+) kB", status.read_text())):
        return 1024 * int(found[1])
    import resource  # not there on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else 1024 * peak


def sgemm_peak(request: Request) -> dict[str, float]:
    """The most FLOPs a second of ten products of two square float32 matrices."""
    n = request["size"]
    a, b = np.random.default_rng(0).standard_normal((2, n, n), dtype=np.float32)
    y = np.empty_like(a)
    seconds = []
    with threadpool_limits(request["threads"], user_api="blas"):
        for _ in range(10):
            start = time.perf_counter()
            np.matmul(a, b, out=y)
            seconds.append(time.perf_counter() - start)
    return {"flops_per_second": 2 * n**3 / min(seconds)}


def profile(request: Request) -> dict[str, float]:
    """Milliseconds per step by part, in one thread."""
    profiler = cProfile.Profile(builtins=False)
    with our_training(request) as step:
        for index in range(request["warmup"]):
            step(index)
        profiler.enable()
        for index in range(request["warmup"], request["warmup"] + request["steps"]):
            step(index)
        profiler.disable()
    profiler.create_stats()
    return {part: 1e3 * seconds / request["steps"] for part, seconds in by_part(profiler.stats).items()}


def by_part(stats: Mapping[Function, tuple[Any, Any, float, float, Mapping[Function, tuple]]]) -> dict[str, float]:
    """A profile's own times by file of the package and, where there are derivatives, by direction; largest first.

    What is not the package's counts to the functions of the package that called it, by their share of its time. In
    ops, layers and models a function is backward if it is named so, or as far as its callers are.
    """
    known: dict[Function, dict[str, float]] = {}

    def parts(function: Function) -> dict[str, float]:
        if function not in known:
            known[function] = {}  # where functions call each other in a circle
            known[function] = find(function)
        return known[function]

    def find(function: Function) -> dict[str, float]:
        callers = stats[function][4]
        total = sum(times[3] for times in callers.values())
        inherited: dict[str, float] = {}
        for caller, times in callers.items():
            for part, share in parts(caller).items():
                inherited[part] = inherited.get(part, 0) + (share * times[3] / total if total else 0)
        path = Path(function[0])
        room, file = path.parent.name, f"{path.parent.name}/{path.stem}"
        if path.parent.parent.name != "scratchformer":
            return inherited or {"other": 1.0}
        if room not in ("ops", "layers", "models"):
            return {file: 1.0}
        called_backward = sum(share for part, share in inherited.items() if part.endswith(" backward"))
        backward = 1.0 if function[2] == "backward" else called_backward
        return {f"{file} forward": 1 - backward, f"{file} backward": backward}

    seconds: dict[str, float] = {}
    for function, (_, _, own, _, _) in stats.items():
        for part, share in parts(function).items():
            seconds[part] = seconds.get(part, 0) + own * share
    return dict(sorted(((part, total) for part, total in seconds.items() if total), key=lambda item: -item[1]))


JOBS: dict[str, Callable[[Request], object]] = {
    "weights": write_weights,
    "check": check,
    "measure": measure,
    "peak": sgemm_peak,
    "profile": profile,
}


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    print(json.dumps(JOBS[request["job"]](request)))
