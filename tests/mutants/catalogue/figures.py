"""Bugs in figures: data that are transposed, shifted, or in the place of others."""

from tests.mutants.mutant import mutant

OF_RUNS = "runs/figures.py"
RUNS = "tests/runs/test_figures.py"

FIGURES = [
    mutant(
        "figure: attention maps with the last layer first",
        OF_RUNS,
        "np.stack(list(trace.values()))",
        "np.stack(list(trace.values())[::-1])",
        RUNS,
    ),
    mutant(
        "figure: attention maps with the last head first",
        OF_RUNS,
        "np.stack(list(trace.values()))",
        "np.stack(list(trace.values()))[:, ::-1]",
        RUNS,
    ),
    mutant(
        "figure: attention maps that grey what may be seen",
        OF_RUNS,
        "np.tri(len(ids), dtype=bool)",
        "np.tri(len(ids), dtype=bool).T",
        RUNS,
    ),
    mutant(
        "figure: norms of gradients where those of activations belong",
        OF_RUNS,
        "for quantity in (GRADIENT, ACTIVATION)",
        "for quantity in (ACTIVATION, GRADIENT)",
        RUNS,
    ),
    mutant(
        "figure: validation loss where training loss belongs",
        OF_RUNS,
        '*metrics["training_loss"], *metrics["validation_loss"]',
        '*metrics["validation_loss"], *metrics["training_loss"]',
        RUNS,
    ),
    mutant("figure: layers named from 0", OF_RUNS, "layer {int(index) + 1}", "layer {int(index)}", RUNS),
    mutant(
        "figure: losses and steps of a reference run exchanged",
        OF_RUNS,
        "np.array(reference.steps), np.array(reference.losses)",
        "np.array(reference.losses), np.array(reference.steps)",
        RUNS,
    ),
    mutant(
        "figure: a running mean that stands at the beginning of its window",
        "plots/curves.py",
        "steps[: len(mean)] + (window - 1) / 2",
        "steps[: len(mean)] + 0.0",
        "tests/plots/test_curves.py",
    ),
    mutant(
        "figure: a running mean that stands at the end of its window",
        "plots/curves.py",
        "steps[: len(mean)] + (window - 1) / 2",
        "steps[len(steps) - len(mean) :] + 0.0",
        "tests/plots/test_curves.py",
    ),
    mutant(
        "figure: colours of a matrix that are not centred on 0",
        "plots/matrices.py",
        "vmin=-limit",
        "vmin=least",
        "tests/plots/test_matrices.py",
    ),
    mutant(
        "figure: scores of heads by head and layer",
        "recipes/head_maps.py",
        "panels = dict(zip(texts, scores.values(), strict=True))",
        "panels = dict(zip(texts, (s.T.reshape(s.shape) for s in scores.values()), strict=True))",
        "tests/experiments/test_attention_heads.py",
    ),
    mutant(
        "figure: scores of two heads in each other's panel",
        "recipes/head_maps.py",
        "by_head[:, i] for i",
        "by_head[:, num_heads - 1 - i] for i",
        "tests/experiments/test_attention_heads.py",
    ),
    mutant(
        "figure: distances of heads in reverse order",
        "recipes/head_maps.py",
        'heatmaps({"": distances}, names',
        'heatmaps({"": distances[::-1]}, names',
        "tests/experiments/test_attention_heads.py",
    ),
    mutant(
        "figure: alignment drawn with what is read from top to bottom",
        "plots/alignment.py",
        "                panel.weights, cmap",
        "                panel.weights.T, cmap",
        "tests/plots/test_alignment.py",
    ),
    mutant(
        "figure: norms of the last layer drawn darkest",
        "plots/norms.py",
        "DEPTHS(np.linspace(0, LIGHTEST, len(names)))",
        "DEPTHS(np.linspace(LIGHTEST, 0, len(names)))",
        "tests/plots/test_norms.py",
    ),
]
