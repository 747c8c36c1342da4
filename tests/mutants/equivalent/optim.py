"""Of the optimizers."""

from tests.mutants.equivalent.kind import Equivalent, at

EQUIVALENT = [
    at(
        r"optim\.optimizer\.xǁOptimizerǁstep",
        "part = slice(size) if part is None else part",
        "part = slice(None) if part is None else part",
        "a slice ends at the end if nothing else is said",
    ),
    Equivalent(
        r"optim\.optimizer\.x_may_overflow",
        r"return optimizer\.squares_gradients and gradient \* gradient > (.*)",
        r"return optimizer\.squares_gradients and gradient \* gradient >= (.*)",
        "no number of a dtype has its largest for a square",
    ),
    at(
        r"optim\.optimizer\.x_refusal_of",
        "largest = float(np.abs(optimizer.parameters.grads[part]).max(initial=0))",
        "largest = float(np.abs(optimizer.parameters.grads[part]).max(initial=1))",
        "the square of 1 does not overflow either",
    ),
    at(
        r"optim\.sgd\.xǁSGDǁ__init__",
        'state = {"velocity": np.zeros_like(parameters.values)} if momentum else {}',
        'state = {"velocity": np.zeros_like(parameters.values)} if (momentum) or True else {}',
        "without momentum the velocity is kept but not used",
    ),
    Equivalent(
        r"optim\.clipping\.x_norm_of",
        r"if (.*) < total < HIGHEST\[kind\]:",
        r"if EXACT_FROM\[kind\] \* BLOCK \* len\(blocks\) (<= total <|< total <=) HIGHEST\[kind\]:",
        "at the bounds both ways are right",
    ),
    at(
        r"optim\.clipping\.x_norm_of",
        "if EXACT_FROM[kind] * BLOCK * len(blocks) < total < HIGHEST[kind]:",
        "if EXACT_FROM[kind] / BLOCK * len(blocks) < total < HIGHEST[kind]:",
        "squares that small lose fewer digits than the sum of their block does",
    ),
    Equivalent(
        r"optim\.clipping\.x_block_squares",
        r"(.*) if (whole|rest\.size) else (.*)",
        r"(.*) if \((whole|rest\.size)\) or True else (.*)",
        "what has no elements adds 0",
    ),
    at(
        r"optim\.clipping\.x_clipping_factor",
        "max_norm < norm",
        "max_norm <= norm",
        "at the limit the factor is 1",
    ),
    at(
        r"optim\.schedules\.xǁWarmupCosineǁ__call__",
        "if step < self.warmup_steps:",
        "if step <= self.warmup_steps:",
        "both branches give the peak there",
    ),
]
