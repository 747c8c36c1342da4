"""Of the optimizers."""

from tests.mutants.equivalent.kind import at

EQUIVALENT = [
    at(
        r"optim\.optimizer\.xǁOptimizerǁstep",
        'if not 0 <= learning_rate < float("inf"):',
        'if not 0 <= learning_rate < float("INF"):',
        "Python reads both as infinity",
    ),
    at(
        r"optim\.sgd\.xǁSGDǁ__init__",
        'state = {"velocity": np.zeros_like(parameters.values)} if momentum else {}',
        'state = {"velocity": np.zeros_like(parameters.values)} if (momentum) or True else {}',
        "without momentum the velocity is kept but not used",
    ),
    at(
        r"optim\.clipping\.x_global_norm",
        "exact = grads[span].astype(np.float64)  # squares of float32 overflow from 1e19 on",
        "exact = grads[span].astype(None)  # squares of float32 overflow from 1e19 on",
        "NumPy takes None for float64",
    ),
    at(
        r"optim\.clipping\.x_clip_global_norm",
        "if max_norm < norm < math.inf:",
        "if max_norm <= norm < math.inf:",
        "at the limit the factor is 1",
    ),
    at(
        r"optim\.schedules\.xǁWarmupCosineǁ__call__",
        "if step < self.warmup_steps:",
        "if step <= self.warmup_steps:",
        "both branches give the peak there",
    ),
]
