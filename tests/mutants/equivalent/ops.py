"""Of the ops but attention."""

from tests.mutants.equivalent.kind import Equivalent, at

EQUIVALENT = [
    Equivalent(
        r"ops\.rotary\.x_features_of_pairs",
        r"return .*",
        r"return \(slice\(d // 2\), slice\(d // 2, (d|None)\)\) if layout == \"halves\" else "
        r"\(slice\((0|None), (d|None), 2\), slice\(1, (d|None), 2\)\)",
        "a slice begins at 0 and ends at the end if nothing else is said",
    ),
    Equivalent(
        r"ops\.rows\.",
        r"if (.* > LONG|.* < LANES|eps < .*):.*",
        r"if (.* >= LONG|.* <= LANES|eps <= .*):.*",
        "at the bound both ways are right",
    ),
    at(
        r"ops\.positions\.x_relative_buckets",
        "first = np.concatenate([np.arange(exact), np.ceil(np.round(exact * (max_distance / exact) ** growth, 9))])",
        "first = np.concatenate([np.arange(exact), np.ceil(np.round(exact * (max_distance / exact) ** growth, 10))])",
        "the powers are right to more digits than either",
    ),
    at(
        r"ops\.cross_entropy\.x_cross_entropy",
        "is_whole = num_counted == targets.size",
        "is_whole = None",
        "both forms give the same rows, the reshaped ones without a copy",
    ),
    Equivalent(
        r"ops\.(linear_)?cross_entropy\.",
        r"(.*\.max\(axis=)-1(.*)",
        r"(.*\.max\(axis=)\+1(.*)",
        "of two axes the last is the second",
    ),
    Equivalent(
        r"ops\.(linear_)?cross_entropy\.",
        r"(.*) if (is_whole|counted\.all\(\)) else (.*)",
        r"(.*) if \((is_whole|counted\.all\(\))\) and False else (.*)",
        "where all count, those that count are the same, as a copy",
    ),
    at(
        r"ops\.(linear_)?cross_entropy\.",
        "surprise = np.log1p(others / np.where(is_likeliest, e_target, 1))",
        "surprise = np.log1p(others / np.where(is_likeliest, e_target, 2))",
        "elsewhere it is replaced",
    ),
    Equivalent(
        r"ops\.activations\.x__gelu_exact",
        r".*\.astype\(x\.dtype, copy=False\).*",
        r".*\.astype\(x\.dtype, (copy=(None|True))?\).*",
        "a copy more is as right",
    ),
    at(
        r"ops\.activations\.x_limit",
        "if not largest(x) <= most:",
        "if not largest(x) < most:",
        "equal is equal",
    ),
    Equivalent(
        r"ops\.checks\.x_check_integers",
        r"if type\(array\) in PLAIN and array\.dtype\.kind in \"iu\" and array\.dtype\.isnative:",
        r"if type\(None\) in PLAIN and .*|if .* and array\.dtype\.kind in \"(XXiuXX|IU)\".*",
        "the slower check that follows finds the same",
    ),
    Equivalent(
        r"ops\.activations\.x_gelu_tanh",
        r"for start in range\(0, x\.size, AT_ONCE\):|part = slice\(start, start \+ AT_ONCE\)",
        r"for start in range\(0, x\.size, \):|part = slice\((None, start \+ AT_ONCE|start, None|start \+ AT_ONCE)\)",
        "parts that overlap come out alike",
    ),
    Equivalent(
        r"ops\.",
        r"(.*(shape\[-1\]|d_k) or) 1(.*)",
        r"(.*(shape\[-1\]|d_k) or) 2(.*)",
        "without features it scales nothing",
    ),
    Equivalent(
        r"ops\.rows\.x_inverse_rms",
        r"if x\.dtype\.kind == \"f\" and (.*) and \(eps >= smallest or (.*) >= smallest\):",
        r"if x\.dtype\.kind == \"(XXfXX\" and .*|F\" and .*|f\" and .*(eps > smallest|smallest and|\) > smallest).*)",
        "the slower way that follows finds the same",
    ),
    at(
        r"ops\.rows\.x_inverse_rms",
        "is_usual = np.isfinite(mean_square) & (mean_square.real >= smallest)",
        "is_usual = np.isfinite(mean_square) & (mean_square.real > smallest)",
        "at the bound both ways are right",
    ),
    at(
        r"ops\.rows\.x_inverse_rms",
        "size = np.where(is_usual | (peak == 0) | np.isinf(peak), 1, peak)",
        "size = np.where(is_usual | (peak == 0) | np.isinf(peak), 2, peak)",
        "2 divides without an error of rounding, as 1 does",
    ),
    Equivalent(
        r"ops\.linear\.x_product_over_rows",
        r"if len\(a\) > MANY_ROWS:|half = len\(a\) // 2",
        r"if len\(a\) >= MANY_ROWS:|half = len\(a\) // 3",
        "where rows are cut changes the last digits alone",
    ),
    at(
        r"ops\.rows\.x_dot",
        "if a.ndim == b.ndim == 1:",
        "if a.ndim != b.ndim == 1:",
        "both ways find the same, for vectors one of them in half the time",
    ),
    Equivalent(
        r"ops\.rows\.x_unbroadcast",
        r"copies = dx if axes\[-1\] == len\(axes\) - 1 else .*",
        r"copies = dx if (\(axes\[-1\] == len\(axes\) - 1\) and False|axes\[-1\] == len\(axes\) - 2) else .*",
        "axes that lead already are moved to where they are",
    ),
    Equivalent(
        r"ops\.embedding\.x_add_rows",
        r'order = .*argsort\(kind="stable"\)',
        r'order = .*argsort\(kind=(None|"STABLE")\)',
        "the order of equal ids changes the last digits of their sum alone",
    ),
    Equivalent(r"ops\.embedding\.", r"(.*starts), axis=0(.*)", r"(.*starts), (\).*)", "0 is the default"),
    Equivalent(
        r"ops\.embedding\.x_segment_sums",
        r"if (.*) <= LONGEST_SEGMENT:",
        r"if (.*) < LONGEST_SEGMENT:",
        "of just as many rows a segment may be cut or not",
    ),
    Equivalent(
        r"ops\.contract\.x_checked_backward",
        r"fits = (kind_of\(dy\) == kind|False)",
        r"fits = (None|kind_of\(None\) == kind)",
        "the slower check that follows finds the same",
    ),
    at(
        r"ops\.contract\.x_check_kinds",
        "floating: tuple[np.dtype, str] | None = None",
        'floating: tuple[np.dtype, str] | None = ""',
        "an empty text is as false as None",
    ),
    Equivalent(
        r"ops\.contract\.x_refuse_what_is_no_array",
        r"(.*), strict=False\):",
        r"(.*), (strict=(None|True))?\):",
        "what is no array is found before the shorter of both ends",
    ),
    Equivalent(
        r"ops\.dropout\.x_dropout",
        r"keep = generator\.random\(x\.shape, dtype=np\.float32\) >= p",
        r"keep = generator\.random\(x\.shape, (dtype=(None|np\.float32))?\) >=? p",
        "numbers with more digits are drawn as evenly, and of 16 million one equals p",
    ),
    Equivalent(
        r"ops\.positions\.x_cos_and_sin",
        r"if positions\.ndim < 2:",
        r"if positions\.ndim (<= 2|< 3):",
        "finding what is distinct first saves time alone",
    ),
    at(
        r"ops\.contract\.x_op",
        "if len(args) < count:",
        "if len(args) <= count:",
        "where all are in order already none is moved",
    ),
    at(
        r"ops\.contract\.x_op",
        "if len(args) > count:",
        "if len(args) >= count:",
        "nothing follows, of which no kinds are added",
    ),
    Equivalent(
        r"ops\.contract\.x_op",
        r"if len\(known\) == MOST_KNOWN:|known\.add\(call\)",
        r"if len\(known\) != MOST_KNOWN:|known\.add\(None\)",
        "what is not remembered is checked again",
    ),
    Equivalent(
        r"ops\.embedding\.x_add_rows",
        r"is_first = np\.empty\(ids\.size, bool\)(.*)",
        r"is_first = np\.empty\(ids\.size, (None)?\)(.*)",
        "0 and 1 say what False and True do",
    ),
    at(
        r"ops\.frequencies\.x_yarn_frequencies",
        "slowed = np.clip((np.arange(d // 2) - first) / width, 0, 1)",
        "slowed = np.clip((np.arange(d / 2) - first) / width, 0, 1)",
        "d is even",
    ),
]
