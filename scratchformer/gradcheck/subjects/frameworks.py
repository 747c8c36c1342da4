"""Ops of PyTorch, JAX and MyGrad as functions that return their output and their backward.

No framework is imported: whoever has such an op has imported its framework already.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from scratchformer.gradcheck.subjects.trees import is_floating, mapped

IN_FLOAT32 = "JAX computes in float32 unless you write jax.config.update('jax_enable_x64', True) before the first array"
DETACHED = "its output depends on no input, as far as PyTorch knows"


def adapted(op: Any) -> Callable[..., Any] | None:
    """The op as a function of NumPy's arrays; None if it is of no framework that is known here."""
    owner = getattr(op, "__self__", None) if getattr(op, "__name__", "") == "apply" else op
    bases = {f"{base.__module__.split('.')[0]}.{base.__name__}" for base in getattr(owner, "__mro__", ())}
    if "torch.Function" in bases:
        return _of_torch(owner.apply)  # type: ignore[union-attr]
    if "mygrad.Operation" in bases:
        return _of_mygrad(owner)
    if type(op).__module__.split(".")[0] in ("jax", "jaxlib"):
        return _of_jax(op)
    return None


def name_of(op: Any) -> str:
    """The name of the op; of `Exp.apply`, that is "Exp"."""
    is_apply = getattr(op, "__name__", "") == "apply"
    return str(getattr(getattr(op, "__self__", op) if is_apply else op, "__name__", "op"))


def remarks_on(op: Any) -> list[str]:
    """What a user of this framework should know."""
    jax = sys.modules.get("jax")
    is_single = type(op).__module__.startswith("jax") and jax is not None and not jax.config.jax_enable_x64
    return [IN_FLOAT32] if is_single else []


def _of_torch(apply: Callable[..., Any]) -> Callable[..., Any]:
    """`torch.autograd.Function.apply`."""
    torch: Any = sys.modules["torch"]

    def op(*arguments: Any, **options: Any) -> tuple[Any, Callable[..., Any]]:
        inputs: list[Any] = []

        def tensor(x: Any) -> Any:
            if not isinstance(x, ndarray):
                return x
            found = torch.from_numpy(np.array(x))
            if is_floating(x):
                inputs.append(found.requires_grad_())
            return found

        returned = apply(*mapped(tensor, arguments), **options)
        outputs = returned if isinstance(returned, tuple) else (returned,)

        def backward(*cotangents: Any) -> tuple[Any, ...]:
            pairs = [
                (y, torch.from_numpy(np.array(dy)).to(y.dtype))
                for y, dy in zip(outputs, cotangents, strict=True)
                if y.requires_grad and dy is not None
            ]
            if not pairs:
                raise ValueError(DETACHED)
            return tuple(
                torch.autograd.grad(
                    [y for y, _ in pairs], inputs, [dy for _, dy in pairs], retain_graph=True, allow_unused=True
                )
            )

        found = tuple(y.detach().numpy() for y in outputs)
        return (found, lambda dys: backward(*dys)) if len(found) > 1 else (found[0], backward)

    return op


def _of_jax(function: Any) -> Callable[..., Any]:
    """Whatever `jax.vjp` takes, such as a `custom_vjp`: it then calls that one's own forward and backward."""
    jax: Any = sys.modules["jax"]

    def op(*arguments: Any, **options: Any) -> tuple[Any, Callable[..., Any]]:
        places = [i for i, x in enumerate(arguments) if is_floating(x)]

        def of_floating(*inputs: Any) -> Any:
            whole = list(arguments)
            for i, x in zip(places, inputs, strict=True):
                whole[i] = x
            return function(*whole, **options)

        y, vjp = jax.vjp(of_floating, *(arguments[i] for i in places))

        def backward(dy: Any) -> Any:
            given = jax.tree_util.tree_map(lambda one, like: np.asarray(one, like.dtype), dy, y)
            return tuple(np.array(dx) for dx in vjp(given))

        return jax.tree_util.tree_map(np.array, y), backward

    return op


def _of_mygrad(operation: Any) -> Callable[..., Any]:
    """A class derived from MyGrad's `Operation`."""
    mygrad: Any = sys.modules["mygrad"]

    def op(*arguments: Any, **options: Any) -> tuple[Any, Callable[..., Any]]:
        def run() -> tuple[Any, list[Any]]:
            tensors = [mygrad.tensor(x) if is_floating(x) else x for x in arguments]
            return mygrad.execute_op(operation, *tensors, op_kwargs=options or None), tensors

        def backward(dy: Any) -> tuple[Any, ...]:
            y, tensors = run()  # MyGrad drops the graph with the first backward pass
            y.backward(np.array(dy))
            return tuple(x.grad for x, given in zip(tensors, arguments, strict=True) if is_floating(given))

        return np.array(run()[0].data), backward

    return op
