"""Learning rates by step. A schedule is called with the number of updates made before the step."""

import math
from dataclasses import dataclass

from scratchformer.arguments import checked_arguments
from scratchformer.python_numbers import take_python_numbers


@checked_arguments
@dataclass(frozen=True)
class Constant:
    """The same learning rate in every step. Raises ValueError if it is negative."""

    rate: float

    def __post_init__(self) -> None:
        take_python_numbers(self)
        _check_rates("Constant", rate=self.rate)

    @checked_arguments
    def __call__(self, step: int) -> float:
        _check_step("Constant", step)
        return self.rate


@checked_arguments
@dataclass(frozen=True)
class WarmupCosine:
    """A linear rise to `peak` over `warmup_steps` updates, then half a cosine down to `floor` at update `num_steps`.

    rate(s) = peak (s + 1) / (warmup_steps + 1) while s < warmup_steps, then
    floor + (peak - floor) (1 + cos(pi (s - warmup_steps) / (num_steps - warmup_steps))) / 2, and `floor` afterwards.

    Raises ValueError for a negative rate or warm-up, or a warm-up that is not shorter than `num_steps`.

    Source: Loshchilov and Hutter, "SGDR", 2017, equation 5, without restarts.
    """

    peak: float
    floor: float
    warmup_steps: int
    num_steps: int

    def __post_init__(self) -> None:
        take_python_numbers(self)
        _check_rates("WarmupCosine", peak=self.peak, floor=self.floor)
        if not 0 <= self.warmup_steps < self.num_steps:
            raise ValueError(
                f"WarmupCosine: warmup_steps must lie in [0, num_steps), got {self.warmup_steps} of {self.num_steps}"
            )

    @checked_arguments
    def __call__(self, step: int) -> float:
        _check_step("WarmupCosine", step)
        step = int(step)  # in NumPy's small integers the next line overflows
        if step < self.warmup_steps:
            return self.peak * (step + 1) / (self.warmup_steps + 1)
        progress = min(1.0, (step - self.warmup_steps) / (self.num_steps - self.warmup_steps))
        return self.floor + 0.5 * (self.peak - self.floor) * (1 + math.cos(math.pi * progress))


@checked_arguments
@dataclass(frozen=True)
class WarmupInverseSquareRoot:
    """The "Noam" schedule: rate(s) = factor d_model^-0.5 min(t^-0.5, t warmup_steps^-1.5) with t = s + 1.

    Raises ValueError for sizes below 1 or a negative factor.

    Source: Vaswani et al., "Attention Is All You Need", 2017, equation 3.
    """

    d_model: int
    warmup_steps: int
    factor: float = 1.0

    def __post_init__(self) -> None:
        take_python_numbers(self)
        _check_rates("WarmupInverseSquareRoot", factor=self.factor)
        if self.d_model < 1 or self.warmup_steps < 1:
            raise ValueError(
                "WarmupInverseSquareRoot: d_model and warmup_steps must be at least 1, "
                f"got {self.d_model} and {self.warmup_steps}"
            )

    @checked_arguments
    def __call__(self, step: int) -> float:
        _check_step("WarmupInverseSquareRoot", step)
        t = int(step) + 1
        return self.factor * self.d_model**-0.5 * min(t**-0.5, t * self.warmup_steps**-1.5)


def _check_step(schedule: str, step: int) -> None:
    if step < 0:
        raise ValueError(f"{schedule}: step must not be negative, got {step}")


def _check_rates(schedule: str, **rates: float) -> None:
    for name, rate in rates.items():
        if not 0 <= rate < math.inf:
            raise ValueError(f"{schedule}: {name} must be finite and not negative, got {rate}")
