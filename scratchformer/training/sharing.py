from scratchformer.arguments import checked_arguments
from scratchformer.training.forked_workers import CAN_FORK

SHARED_FROM = 2**15
"""With more parameters for each token, workers better share one vector: it takes less memory, and no more time. They
take 2 % more time for 11 million parameters and 2,048 tokens, no more for 124 million and 1,024 tokens."""

FORKED_UP_TO = 2**22
"""Parameters up to which a step is so short that it shows how threads wait for each other. Longer steps gain little."""


@checked_arguments
def workers_and_blas_threads(num_threads: int, num_sequences: int) -> tuple[int, int]:
    """How threads best share a training step: the number of workers, and of BLAS threads in each (`share_products`).

    Workers are better, because they share what is no product, too. But none can do with less than a sequence.

    Raises ValueError for a number below 1.
    """
    _check_positive("workers_and_blas_threads", num_threads=num_threads, num_sequences=num_sequences)
    num_workers = min(num_threads, num_sequences)
    return num_workers, num_threads // num_workers


@checked_arguments
def are_better_sharing(num_parameters: int, num_tokens: int) -> bool:
    """Whether the workers of a step with so many tokens better share one vector of gradients (`share_gradient`).

    From 2^15 parameters for each token on, and above the 4 million up to which they are better forked.

    Raises ValueError for a number below 1.
    """
    _check_positive("are_better_sharing", num_parameters=num_parameters, num_tokens=num_tokens)
    return num_parameters > FORKED_UP_TO and num_parameters >= SHARED_FROM * num_tokens


@checked_arguments
def are_better_forked(num_parameters: int) -> bool:
    """Whether the workers of a model with so many parameters are better processes than threads (`fork_workers`).

    Up to 4 million parameters, where processes can be forked. The small model of `experiments/speed` takes 0.93 of the
    time, beside other programs 0.82, and a tenth more memory.

    Raises ValueError for a number below 1.
    """
    _check_positive("are_better_forked", num_parameters=num_parameters)
    return CAN_FORK and num_parameters <= FORKED_UP_TO


def _check_positive(function: str, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{function}: {name} must be at least 1, got {number}")
