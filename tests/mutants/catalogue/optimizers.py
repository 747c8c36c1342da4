"""Bugs in optimizers."""

from tests.mutants.mutant import Mutant, mutant

OPTIMIZERS = [
    mutant(
        "Adam: bias correction of the square left out",
        "optim/adam.py",
        "math.sqrt(1 - b2**self.num_steps)",
        "1.0",
        "Adam",
    ),
    mutant(
        "Adam: bias correction of the mean left out",
        "optim/adam.py",
        "learning_rate * root / (1 - b1**self.num_steps)",
        "learning_rate * root",
        "Adam",
    ),
    Mutant(
        "Adam: eps inside of the square root",
        "optim/adam.py",
        (("np.sqrt(v, out=buffer)", "np.sqrt(v + eps**2, out=buffer)"), ("denominator += eps", "pass")),
        ("Adam",),
    ),
    mutant(
        "AdamW: decay of everything",
        "optim/adam.py",
        "self.parameters.values[span.start : min(span.stop, num_decayed)]",
        "self.parameters.values[span]",
        "AdamW",
    ),
    mutant(
        "SGD: Nesterov without the gradient",
        "optim/sgd.py",
        "g + self.momentum * velocity",
        "self.momentum * velocity",
        "SGD (Nesterov)",
    ),
    mutant(
        "norm: sums of blocks are added in float32",
        "optim/clipping.py",
        "    total, kind = sum(blocks), grads.dtype.char",
        "    total, kind = float(np.sum(np.array(blocks, grads.dtype))), grads.dtype.char",
        "tests/optim/test_clipping.py::test_the_sums_of_blocks_are_added_in_float64",
    ),
    mutant(
        "average: a part begins at the beginning of the vector",
        "optim/averaging.py",
        "parallel_map(update, spans(end, begin))",
        "parallel_map(update, spans(end - begin))",
        "tests/optim/test_averaging.py::test_the_average_is_the_weighted_sum_of_all_values",
    ),
    mutant(
        "vectors in parts: a slice begins where its part does",
        "optim/vector_in_parts.py",
        "reshape(-1)[start - begin : stop - begin]",
        "reshape(-1)[: stop - begin]",
        "tests/optim/test_vector_in_parts.py::test_it_has_the_elements_of_its_parts",
    ),
    mutant(
        "vectors in parts: spans cross borders",
        "optim/spans.py",
        "for border in vector.borders if begin < border < end",
        "for border in vector.borders[:2] if begin < border < end",
        "tests/optim/test_vector_in_parts.py::test_spans_cover_a_part_and_cross_no_border",
    ),
]
