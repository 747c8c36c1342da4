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
        "return max_norm / norm if max_norm is not None and max_norm < norm else 1.0",
        "return max_norm / norm if max_norm is not None and max_norm <= norm else 1.0",
        "at the limit the factor is 1",
    ),
    at(
        r"optim\.clipping\.x_clip_global_norm",
        "if norm > max_norm:",
        "if norm >= max_norm:",
        "at the limit the factor is 1",
    ),
    at(
        r"optim\.optimizer\.xǁOptimizerǁstep",
        "if scale.__class__ is not float and (misfit := misfit_of(scale, float)):",
        "if scale.__class__ is not float or (misfit := misfit_of(scale, float)):",
        "a float fits",
    ),
    Equivalent(
        r"optim\.optimizer\.xǁOptimizerǁ_updates_of",
        r"return \[partial\(update if scale == 1 else scale_and_update, span\) (.*)",
        r"return \[partial\(update if \(scale == 1\) and False else scale_and_update, span\) (.*)",
        "to multiply by 1 changes nothing",
    ),
    at(
        r"optim\.schedules\.xǁWarmupCosineǁ__call__",
        "if step < self.warmup_steps:",
        "if step <= self.warmup_steps:",
        "both branches give the peak there",
    ),
]
