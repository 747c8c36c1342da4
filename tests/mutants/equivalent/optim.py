"""Of the optimizers."""

from tests.mutants.equivalent.kind import Equivalent, at

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
    Equivalent(
        r"optim\.clipping\.x_global_norm",
        r"if (.*) < total < range_of\.max:",
        r"if (.*) <=? total <=? range_of\.max:",
        "at the bounds both ways are right",
    ),
    at(
        r"optim\.clipping\.x_scale_down",
        "if max_norm < norm:",
        "if max_norm <= norm:",
        "at the limit the factor is 1",
    ),
    at(
        r"optim\.schedules\.xǁWarmupCosineǁ__call__",
        "if step < self.warmup_steps:",
        "if step <= self.warmup_steps:",
        "both branches give the peak there",
    ),
]
