"""Valid calls of what `scratchformer.optim` has."""

from typing import Any

from scratchformer import optim
from tests.malformed.recipes.call import Recipe, called, method, new, normal
from tests.malformed.recipes.layers import small_layer


def packed() -> Any:
    return small_layer()


RATE = {"learning_rate": 0.1, "parallel_map": map}


OPTIM: dict[str, Recipe] = {
    "optim.SGD": new(optim, "SGD", parameters=lambda: packed(), momentum=0.9, nesterov=True),
    "optim.Adam": new(optim, "Adam", parameters=lambda: packed(), betas=(0.9, 0.99), eps=1e-8),
    "optim.AdamW": new(optim, "AdamW", parameters=lambda: packed(), betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1),
    "optim.Muon": new(
        optim,
        "Muon",
        parameters=lambda: packed(),
        matrices={"up.weight": 1},
        rms=0.2,
        momentum=0.9,
        betas=(0.9, 0.99),
        eps=1e-8,
        weight_decay=0.1,
    ),
    "optim.orthogonal": new(optim, "orthogonal", u=lambda: normal(3, 4), num_steps=5),
    "optim.Optimizer.step": method(lambda: optim.AdamW(packed()), "step", **RATE),
    "optim.WeightAverage": new(optim, "WeightAverage", parameters=lambda: packed(), decay=0.9),
    "optim.WeightAverage.update": method(lambda: optim.WeightAverage(packed(), 0.9), "update", parallel_map=map),
    "optim.Constant": new(optim, "Constant", rate=0.1),
    "optim.WarmupCosine": new(optim, "WarmupCosine", peak=0.1, floor=0.01, warmup_steps=2, num_steps=9),
    "optim.WarmupInverseSquareRoot": new(optim, "WarmupInverseSquareRoot", d_model=4, warmup_steps=3, factor=1.0),
    "optim.Constant.__call__": called(lambda: optim.Constant(0.1), step=3),
    "optim.WarmupCosine.__call__": called(lambda: optim.WarmupCosine(0.1, 0.0, 2, 9), step=3),
    "optim.WarmupInverseSquareRoot.__call__": called(lambda: optim.WarmupInverseSquareRoot(4, 2), step=3),
    "optim.global_norm": new(optim, "global_norm", grads=lambda: normal(5), parallel_map=map),
    "optim.clip_global_norm": new(optim, "clip_global_norm", grads=lambda: normal(5), max_norm=1.0, parallel_map=map),
}
