"""The figures of the pages, computed by the library itself. No page needs them to run."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy import ndarray

from scratchformer.analysis.score_scale import measure_scores
from scratchformer.ops import attention_weights, gelu, layer_norm, relu, rotary, sinusoidal_positions, softmax
from scratchformer.optim import Adam
from scratchformer.plots import Figure, Line, Panel, line_panels, matrix_panels, save_svg


def softmax_jacobian() -> Figure:
    """J_ij, the derivative of weight i with respect to score j, for one row of eight scores."""
    scores = np.array([2.0, 1.8, 1.0, 0.5, 0.0, -0.5, -1.0, -2.0])
    weights, backward = softmax(np.tile(scores, (8, 1)))
    return matrix_panels(
        {"J_ij = y_i (delta_ij - y_j)": backward(np.eye(8))},
        row_label="weight y_i",
        column_label="score x_j",
        value_label="derivative of y_i with respect to x_j",
        row_names=[f"{weight:.2f}" for weight in weights[0]],
        column_names=[f"{score:.1f}".replace("-", "\N{MINUS SIGN}") for score in scores],
        decimals=2,
        row_sums=True,
    )


def gelu_and_its_derivative() -> Figure:
    """GELU, its tanh approximation and ReLU, and the derivative of each."""
    x = np.linspace(-4, 4, 401)
    functions = {
        "GELU, exact": gelu(x),
        "GELU, tanh approximation": gelu(x, approximate="tanh"),
        "ReLU": relu(x),
    }
    widths = dict(zip(functions, (3.5, 1.6, 1.8), strict=True))
    values = [Line(name, x, y, width=widths[name]) for name, (y, _) in functions.items()]
    slopes = [
        Line(name, x, np.where((x == 0) & (name == "ReLU"), np.nan, backward(np.ones_like(x))), width=widths[name])
        for name, (_, backward) in functions.items()
    ]
    return line_panels([Panel("the functions", "x", "y", values), Panel("their derivatives", "x", "dy / dx", slopes)])


def layer_norm_projection() -> Figure:
    """The gradient of a normalised row in three parts: its mean, its part along the row, and what reaches the input."""
    generator = np.random.default_rng(59)
    n = 10
    x, weight, dy = generator.standard_normal(n), generator.uniform(0.5, 1.5, n), generator.standard_normal(n) + 0.5
    x_hat, _ = layer_norm(x, eps=0.0)
    _, backward = layer_norm(x, weight, eps=0.0)
    dx, _, _ = backward(dy)
    dx_hat = dy * weight
    feature = np.arange(1, n + 1)
    parts = {
        "dx_hat = dy · weight": dx_hat,
        "= its mean": np.full(n, dx_hat.mean()),
        "+ its part along x_hat": x_hat * (dx_hat @ x_hat / n),
        "+ what is left: dx · std": dx * x.std(),
    }
    lines = {title: [Line("", feature, part, "marked")] for title, part in parts.items()}
    lines["+ its part along x_hat"].append(Line("x_hat, the normalised row", feature, x_hat, "reference"))
    panels = [Panel(title, "feature", "gradient", drawn) for title, drawn in lines.items()]
    return line_panels(panels, share_y=True)


def attention_gradients() -> Figure:
    """Through a causal mask: the weights, their gradient, and the gradient of the scores."""
    tokens = ["the", "cat", "saw", "a", "small", "dog"]
    generator = np.random.default_rng(36)
    query, key, value, dy = generator.standard_normal((4, len(tokens), 4))
    allowed = np.tri(len(tokens), dtype=bool)
    weights, backward = attention_weights(query, key, np.where(allowed, 0.0, -np.inf))
    dweights = 0.5 * dy @ value.T  # half, so that weights and gradients share one colour scale
    _, _, dscores = backward(dweights)  # the mask is added to the scores, so its gradient is theirs
    matrices = {"weights P": weights, "their gradient dP": dweights, "scores' gradient dS": dscores}
    return matrix_panels(
        {name: np.where(allowed, matrix, np.nan) for name, matrix in matrices.items()},
        row_label="query",
        column_label="key",
        value_label="weight or gradient",
        row_names=tokens,
        column_names=tokens,
        decimals=2,
        row_sums=True,
    )


def positions_sinusoidal() -> Figure:
    """The table of sines and cosines of 40 positions and 64 features."""
    return matrix_panels(
        {"": sinusoidal_positions(np.arange(40), 64, dtype=np.float64)},
        row_label="position",
        column_label="feature: 2i is a sine, 2i + 1 the cosine of the same angle",
        value_label="added to the embedding",
    )


def positions_rotary() -> Figure:
    """How pairs of features turn, and the score of a query and a key by their distance, at three positions."""
    d, turns, distance = 32, np.arange(0, 64.25, 0.25), np.arange(33)
    turned, _ = rotary(np.tile(np.repeat([1.0, 0.0], d // 2), (len(turns), 1)), turns)
    pairs = [
        Line(f"pair {i}, period {2 * np.pi * 10_000 ** (2 * i / d):.3g}", turns, turned[:, i]) for i in (0, 2, 4, 6)
    ]

    query, key = np.random.default_rng(0).standard_normal((2, d))

    def scores(position: int) -> ndarray:
        turned_query, _ = rotary(query[None], np.array([position]))
        turned_keys, _ = rotary(np.tile(key, (len(distance), 1)), position - distance)
        return (turned_keys @ turned_query[0]) / np.sqrt(d)

    by_distance = [
        Line(f"query at position {position:,}", distance, scores(position), width=width)
        for position, width in ((32, 9.0), (500, 5.0), (100_000, 2.0))
    ]
    return line_panels(
        [
            Panel("a pair that starts as (1, 0)", "position", "its first feature", pairs),
            Panel("one query, one key", "query position - key position", "score", by_distance),
        ]
    )


def attention_scale() -> Figure:
    """What dividing scores by sqrt(d_k) keeps at one size: their variance, the entropy of the weights, the gradient."""
    generator = np.random.default_rng(0)
    sizes, num_keys = 2 ** np.arange(11), 32
    both = [measure_scores(int(d_k), num_keys=num_keys, generator=generator) for d_k in sizes]
    measured = dict(zip(("scores divided by √d_k", "scores as they are"), zip(*both, strict=True), strict=True))

    def lines(quantity: str) -> list[Line]:
        return [
            Line(name, sizes, np.array([getattr(one, quantity) for one in found]), "marked")
            for name, found in measured.items()
        ]

    theory = [Line("theory", sizes, variance, "reference") for variance in (np.ones(len(sizes)), sizes)]
    return line_panels(
        [
            Panel("variance of the scores", "d_k", "variance", [*lines("variance"), *theory], True, True),
            Panel(
                f"entropy of {num_keys} weights",
                "d_k",
                "nats, mean over queries",
                lines("entropy"),
                log_x=True,
                levels={f"log {num_keys}, all alike": np.log(num_keys)},
            ),
            Panel("norm of the scores' gradient", "d_k", "median over queries", lines("typical_gradient"), True, True),
        ]
    )


def adam_first_steps() -> Figure:
    """The size of Adam's update by step for a constant gradient, with and without bias correction."""
    parameters = SimpleNamespace(values=np.zeros(1), grads=np.ones(1), num_decayed=0)
    adam = Adam(parameters, betas=(0.9, 0.999))
    steps, before = np.arange(1, 3001), 0.0
    corrected, raw = np.empty((2, len(steps)))
    for i in range(len(steps)):
        adam.step(1.0)
        corrected[i], before = before - parameters.values[0], parameters.values[0]
        raw[i] = adam.state["m"][0] / (np.sqrt(adam.state["v"][0]) + adam.eps)
    theory = (1 - 0.9**steps) / np.sqrt(1 - 0.999**steps)
    return line_panels(
        [
            Panel(
                "constant gradient, betas 0.9 and 0.999",
                "step t",
                "size of the update / learning rate",
                [
                    Line("without bias correction", steps, raw, width=4.0),
                    Line("with it", steps, corrected, width=2.2),
                    Line("(1 - 0.9^t) / √(1 - 0.999^t)", steps, theory, "reference"),
                ],
                log_x=True,
            )
        ]
    )


FIGURES: dict[str, Callable[[], Figure]] = {
    "softmax_jacobian": softmax_jacobian,
    "gelu": gelu_and_its_derivative,
    "layer_norm_projection": layer_norm_projection,
    "attention_gradients": attention_gradients,
    "attention_scale": attention_scale,
    "positions_sinusoidal": positions_sinusoidal,
    "positions_rotary": positions_rotary,
    "adam_first_steps": adam_first_steps,
}
"""Functions that draw the figures, by file name without suffix."""


def write_figures(folder: Path) -> list[Path]:
    """Writes every figure as SVG, with the same bytes each time; makes the folder if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    return [save_svg(draw(), folder / name) for name, draw in FIGURES.items()]
