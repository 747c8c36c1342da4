from scratchformer.arguments import checked_arguments

PARAMETERS_PER_TOKEN = 2**18
"""With more, a step spends more time on gradients and weights than workers save in what is no matrix product."""


@checked_arguments
def workers_and_blas_threads(num_threads: int, num_parameters: int, num_tokens: int) -> tuple[int, int]:
    """How threads best share a training step: the number of workers, and of BLAS threads in each (`share_products`).

    Every worker reads all weights, and keeps a gradient of each, which is set to zero, written and added to those of
    the others. Where parameters outnumber the tokens of a step by 2^18 and more, one worker is better, whose matrix
    products BLAS shares out. Otherwise it is as many workers as threads, which share what is no product too.

    Raises ValueError for a number below 1.
    """
    numbers = {"num_threads": num_threads, "num_parameters": num_parameters, "num_tokens": num_tokens}
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"workers_and_blas_threads: {name} must be at least 1, got {number}")
    return (1, num_threads) if num_parameters > PARAMETERS_PER_TOKEN * num_tokens else (num_threads, 1)
