from scratchformer.arguments import checked_arguments
from scratchformer.training.forked_workers import CAN_FORK

PARAMETERS_PER_TOKEN = 2**18
"""With more, a second worker's gradients take much memory and save little time: 5 % of a step of GPT-2 with 4 x 64."""

FORKED_UP_TO = 2**22
"""Parameters up to which a step is so short that it shows how threads wait for each other. Longer steps gain little."""


@checked_arguments
def workers_and_blas_threads(num_threads: int, num_parameters: int, num_tokens: int) -> tuple[int, int]:
    """How threads best share a training step: the number of workers, and of BLAS threads in each (`share_products`).

    Every worker keeps a gradient of each weight, which is set to zero, written and added to those of the others. Where
    a step has more than 2^18 parameters for each token, one worker takes a third less memory and hardly more time, if
    BLAS shares its products out. Elsewhere there are as many workers as threads, which share what is no product too.

    Raises ValueError for a number below 1.
    """
    numbers = {"num_threads": num_threads, "num_parameters": num_parameters, "num_tokens": num_tokens}
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"workers_and_blas_threads: {name} must be at least 1, got {number}")
    return (1, num_threads) if num_parameters > PARAMETERS_PER_TOKEN * num_tokens else (num_threads, 1)


@checked_arguments
def are_better_forked(num_parameters: int) -> bool:
    """Whether the workers of a model with so many parameters are better processes than threads (`fork_workers`).

    Up to 4 million parameters, where processes can be forked. The small model of `experiments/speed` takes 0.93 of the
    time, beside other programs 0.82, and a fifth more memory.

    Raises ValueError for a number below 1.
    """
    if num_parameters < 1:
        raise ValueError(f"are_better_forked: num_parameters must be at least 1, got {num_parameters}")
    return CAN_FORK and num_parameters <= FORKED_UP_TO
