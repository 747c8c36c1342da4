"""Bugs in the gradient checker and in what strategies draw: it passes what it should not."""

from tests.mutants.mutant import mutant

DRAWN = "tests/gradcheck/test_strategies.py::"
FORMULAS = "tests/derivations/formulas/test_evaluation.py::"
PROMISES = "tests/gradcheck/promises/test_promises.py::"
STRATEGIES = "gradcheck/strategies.py"
STORAGE = "gradcheck/promises/storage.py"

CHECKER = [
    mutant(
        "strategies: no row of a mask is empty but by chance",
        STRATEGIES,
        "            allowed[generator.random(t_query) < 0.5] = False\n",
        "            pass\n",
        DRAWN + "test_any_row_of_a_mask_may_attend_to_nothing_where_others_attend",
    ),
    mutant(
        "strategies: the kind of empty rows is not drawn",
        STRATEGIES,
        ', "random", "empty rows")',
        ', "random")',
        DRAWN + "test_any_row_of_a_mask_may_attend_to_nothing_where_others_attend",
    ),
    mutant(
        "strategies: no row of an additive mask is empty",
        STRATEGIES,
        "return np.where(allowed, generator",
        "return np.where(allowed | ~allowed.any(axis=-1, keepdims=True), generator",
        DRAWN + "test_any_row_of_a_mask_may_attend_to_nothing_where_others_attend",
    ),
    mutant(
        "strategies: a row is empty only where all are",
        STRATEGIES,
        "allowed[generator.random(t_query) < 0.5] = False",
        "allowed[...] &= generator.random() < 0.5",
        DRAWN + "test_any_row_of_a_mask_may_attend_to_nothing_where_others_attend",
    ),
    mutant(
        "strategies: no sequence without a token is pooled",
        "catalogue/ops.py",
        "integers(0, t, batch, endpoint=True)",
        "integers(1, t, batch, endpoint=True)",
        DRAWN + "test_what_is_rare_is_drawn_for_the_ops_that_it_matters_to",
    ),
    mutant(
        "strategies: no target is ignored",
        "catalogue/ops.py",
        "random(batch) < draw(st.sampled_from((0, 0.3)))",
        "random(batch) < 0 * draw(st.sampled_from((0, 0.3)))",
        DRAWN + "test_what_is_rare_is_drawn_for_the_ops_that_it_matters_to",
    ),
    mutant(
        "strategies: no layout is reversed",
        STRATEGIES,
        "return x[..., ::-1].copy()[..., ::-1] if x.ndim else x",
        "return x.copy()",
        DRAWN + "test_every_layout_is_drawn",
    ),
    mutant(
        "strategies: every layout is contiguous",
        STRATEGIES,
        "    return wide[..., 0]\n",
        "    return x.copy()\n",
        DRAWN + "test_every_layout_is_drawn",
    ),
    mutant(
        "strategies: small integers are not drawn",
        STRATEGIES,
        '= ("ordinary", "small integers")',
        '= ("ordinary",)',
        DRAWN + "test_what_is_rare_is_drawn_for_the_ops_that_it_matters_to",
    ),
    mutant(
        "checker: no input is strided",
        STORAGE,
        '    "strided": _strided,\n',
        "",
        PROMISES + "test_one_layout_one_element_or_one_moment_is_enough_to_break_a_promise",
    ),
    mutant(
        "checker: no input is in Fortran's order",
        STORAGE,
        'np.array(x, order="F")',
        'np.array(x, order="C")',
        PROMISES + "test_one_layout_one_element_or_one_moment_is_enough_to_break_a_promise",
    ),
    mutant(
        "checker: no cotangent is broadcast",
        STORAGE,
        "    if dy.size:\n        given",
        "    if False:\n        given",
        PROMISES + "test_one_layout_one_element_or_one_moment_is_enough_to_break_a_promise",
    ),
    mutant(
        "checker: large inputs are not laid out anew",
        STORAGE,
        "    for described, layout in LAYOUTS.items():\n        found",
        "    for described, layout in (LAYOUTS if np.size(dy) <= 64 else {}).items():\n        found",
        PROMISES + "test_one_layout_one_element_or_one_moment_is_enough_to_break_a_promise",
    ),
    mutant(
        "checker: of large arrays the beginning alone is looked at for what was written",
        "gradcheck/promises/calls.py",
        "if not np.array_equal(x, kept[name]))",
        "if not np.array_equal(x.ravel()[:64], kept[name].ravel()[:64]))",
        PROMISES + "test_one_layout_one_element_or_one_moment_is_enough_to_break_a_promise",
    ),
    mutant(
        "checker: of large gradients the beginning alone is compared",
        "gradcheck/promises/same_gradients.py",
        "off = np.abs(dx - found[name])",
        "off = np.abs(dx - found[name]) * (np.arange(dx.size).reshape(dx.shape) < 64)",
        PROMISES + "test_one_layout_one_element_or_one_moment_is_enough_to_break_a_promise",
    ),
    mutant(
        "checker: two threads run one after the other",
        "gradcheck/promises/calls.py",
        "dy, own[0]))\n    try:\n",
        "dy, own[0]))\n    other.result()\n    try:\n",
        PROMISES + "test_one_layout_one_element_or_one_moment_is_enough_to_break_a_promise",
    ),
    mutant(
        "checker: large tensors are probed at their beginning",
        "gradcheck/numeric/probing.py",
        "    movable = np.asarray(np.isfinite(x) & ",
        "    movable = np.asarray(np.isfinite(x) & (np.arange(x.size).reshape(x.shape) < 64) & ",
        "tests/gradcheck/test_check.py::test_one_element_that_is_off_by_a_millionth_is_wrong",
    ),
    mutant(
        "formulas: a formula that is off by a thousandth is right",
        "derivations/formulas/page_formulas.py",
        "LIMIT = 1e-9",
        "LIMIT = 1e-3",
        FORMULAS + "test_what_is_off_a_little_holds_somewhere_or_is_no_number_is_wrong",
    ),
    mutant(
        "formulas: an inequality that holds somewhere is right",
        "derivations/formulas/page_formulas.py",
        "if holds.all() else",
        "if holds.any() else",
        FORMULAS + "test_what_is_off_a_little_holds_somewhere_or_is_no_number_is_wrong",
    ),
    mutant(
        "formulas: a formula of NaN is right",
        "derivations/formulas/page_formulas.py",
        'float(error / size) if np.isfinite(error) else float("inf")',
        "float(np.nan_to_num(error / size))",
        FORMULAS + "test_what_is_off_a_little_holds_somewhere_or_is_no_number_is_wrong",
    ),
    mutant(
        "formulas: a sum leaves out its last term",
        "derivations/formulas/evaluation.py",
        "(b <= a) & (a <= c)",
        "(b <= a) & (a < c)",
        FORMULAS + "test_right_formulas_are_right",
    ),
    mutant(
        "formulas: what is held moves in a partial derivative",
        "derivations/formulas/partials.py",
        "stages = [] if held is not None else list(",
        "stages = list(",
        FORMULAS + "test_a_partial_derivative_moves_every_stage_between_but_not_what_is_held",
    ),
    mutant(
        "formulas: of several cases the last that holds counts",
        "derivations/formulas/evaluation.py",
        "in reversed(branches[:-1]):",
        "in branches[:-1]:",
        FORMULAS + "test_right_formulas_are_right",
    ),
    mutant(
        "formulas: a derivative along stages takes the last one alone",
        "derivations/formulas/partials.py",
        "            yield from _stages(evaluator, right, code, inner)\n",
        "",
        FORMULAS + "test_a_partial_derivative_moves_every_stage_between_but_not_what_is_held",
    ),
]
