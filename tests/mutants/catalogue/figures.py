"""Bugs in figures: data that are transposed, shifted, or in the place of others."""

from tests.mutants.mutant import mutant

CURVES = "tests/plots/test_curves.py::"
MAPS = "tests/recipes/test_head_maps.py::"
RUNS = "tests/runs/test_figures.py::"
OF_RUNS = "runs/figures.py"

FIGURES = [
    mutant(
        "figure: attention maps with the last layer first",
        OF_RUNS,
        "np.stack(list(trace.values()))",
        "np.stack(list(trace.values())[::-1])",
        RUNS + "test_attention_maps_are_those_of_each_layer_and_head_in_their_order",
    ),
    mutant(
        "figure: attention maps with the last head first",
        OF_RUNS,
        "np.stack(list(trace.values()))",
        "np.stack(list(trace.values()))[:, ::-1]",
        RUNS + "test_attention_maps_are_those_of_each_layer_and_head_in_their_order",
    ),
    mutant(
        "figure: attention maps that grey what may be seen",
        OF_RUNS,
        "np.tri(len(ids), dtype=bool)",
        "np.tri(len(ids), dtype=bool).T",
        RUNS + "test_attention_maps_are_those_of_each_layer_and_head_in_their_order",
    ),
    mutant(
        "figure: norms of gradients where those of activations belong",
        OF_RUNS,
        "for quantity in (GRADIENT, ACTIVATION)",
        "for quantity in (ACTIVATION, GRADIENT)",
        RUNS + "test_losses_and_norms_are_drawn_where_their_labels_say",
    ),
    mutant(
        "figure: validation loss where training loss belongs",
        OF_RUNS,
        '*metrics["training_loss"], *metrics["validation_loss"]',
        '*metrics["validation_loss"], *metrics["training_loss"]',
        RUNS + "test_losses_and_norms_are_drawn_where_their_labels_say",
    ),
    mutant(
        "figure: layers named from 0",
        OF_RUNS,
        "layer {int(index) + 1}",
        "layer {int(index)}",
        RUNS + "test_losses_and_norms_are_drawn_where_their_labels_say",
    ),
    mutant(
        "figure: losses and steps of a reference run exchanged",
        OF_RUNS,
        "np.array(reference.steps), np.array(reference.losses)",
        "np.array(reference.losses), np.array(reference.steps)",
        RUNS + "test_losses_and_norms_are_drawn_where_their_labels_say",
    ),
    mutant(
        "figure: a running mean that stands at the beginning of its window",
        "plots/curves.py",
        "steps[: len(mean)] + (window - 1) / 2",
        "steps[: len(mean)] + 0.0",
        CURVES + "test_what_is_drawn_is_what_was_given",
    ),
    mutant(
        "figure: a running mean that stands at the end of its window",
        "plots/curves.py",
        "steps[: len(mean)] + (window - 1) / 2",
        "steps[len(steps) - len(mean) :] + 0.0",
        CURVES + "test_what_is_drawn_is_what_was_given",
    ),
    mutant(
        "figure: colours of a matrix that are not centred on 0",
        "plots/matrices.py",
        "vmin=-limit",
        "vmin=least",
        "tests/plots/test_matrices.py::test_one_scale_centred_on_0_is_shared",
    ),
    mutant(
        "figure: scores of heads by head and layer",
        "recipes/head_maps.py",
        "panels = dict(zip(texts, scores.values(), strict=True))",
        "panels = dict(zip(texts, (s.T.reshape(s.shape) for s in scores.values()), strict=True))",
        MAPS + "test_scores_and_distances_are_drawn_where_their_names_say",
    ),
    mutant(
        "figure: scores of two heads in each other's panel",
        "recipes/head_maps.py",
        "by_head[:, i] for i",
        "by_head[:, num_heads - 1 - i] for i",
        MAPS + "test_scores_and_distances_are_drawn_where_their_names_say",
    ),
    mutant(
        "figure: distances of heads in reverse order",
        "recipes/head_maps.py",
        'heatmaps({"": distances}, names',
        'heatmaps({"": distances[::-1]}, names',
        MAPS + "test_scores_and_distances_are_drawn_where_their_names_say",
    ),
    mutant(
        "figure: alignment drawn with what is read from top to bottom",
        "plots/alignment.py",
        "                panel.weights, cmap",
        "                panel.weights.T, cmap",
        "tests/plots/test_alignment.py::test_what_is_drawn_is_what_was_given",
    ),
    mutant(
        "figure: norms of the last layer drawn darkest",
        "plots/norms.py",
        "DEPTHS(np.linspace(0, LIGHTEST, len(names)))",
        "DEPTHS(np.linspace(LIGHTEST, 0, len(names)))",
        "tests/plots/test_norms.py::test_deeper_layers_are_lighter_and_have_one_colour",
    ),
    mutant(
        "figure: attention maps with the mask of the first head",
        "plots/attention.py",
        "masked[layer, head]),",
        "masked[0, 0]),",
        "tests/plots/test_attention.py::test_queries_go_down_and_keys_go_right_and_each_head_has_its_own_mask",
    ),
    mutant(
        "figure: norms labelled where they begin",
        "plots/norms.py",
        "values[np.isfinite(values)][-1:]",
        "values[np.isfinite(values)][:1]",
        "tests/plots/test_norms.py::test_what_is_drawn_is_what_was_given",
    ),
    mutant(
        "figure: the median of repetitions for their mean",
        "plots/lines.py",
        'Line(name, x, values.mean(axis=0), "marked")',
        'Line(name, x, np.median(values, axis=0), "marked")',
        "tests/plots/test_lines.py::test_the_legend_says_what_the_thin_lines_are",
    ),
    mutant(
        "figure: a curve is hidden by one of other steps",
        "plots/hidden.py",
        " or not np.array_equal(front_x[places], x)",
        "",
        "tests/plots/test_hidden.py::test_a_curve_is_hidden_where_each_of_its_points_is_one_of_the_curve_in_front",
    ),
    mutant(
        "figure: entropy of heads where their focus belongs",
        "recipes/head_maps.py",
        '1 - scores.pop("entropy") / uniform["entropy"]',
        'scores.pop("entropy") / uniform["entropy"]',
        MAPS + "test_scores_and_distances_are_drawn_where_their_names_say",
    ),
    mutant(
        "figure: every share of right answers over one of the reference run",
        "recipes/prompted_gpt.py",
        'name == "held out" and name in earlier',
        "name in earlier",
        "tests/recipes/test_prompted_gpt.py::test_answers_are_drawn_over_those_held_out_in_the_reference_run",
    ),
    mutant(
        "figure: the least of repetitions for their most",
        "plots/lines.py",
        "(values.min(axis=0), values.max(axis=0))",
        "(values.min(axis=0), values.min(axis=0))",
        "tests/plots/test_lines.py::test_the_legend_says_what_the_thin_lines_are",
    ),
]
