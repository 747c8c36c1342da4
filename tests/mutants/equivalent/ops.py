"""Of the ops."""

from tests.mutants.equivalent.kind import Equivalent, at

EQUIVALENT = [
    at(
        r"ops\.blockwise_attention\.x_blockwise_attention",
        "if p > 0:",
        "if p >= 0:",
        "where nothing is dropped the factor is 1",
    ),
    at(
        r"ops\.blockwise_attention\.x_blockwise_attention",
        "seed = 0 if generator is None or p == 0 else int(generator.integers(2**63))",
        "seed = 1 if generator is None or p == 0 else int(generator.integers(2**63))",
        "without dropout nothing is drawn from it",
    ),
    at(
        r"ops\.blockwise_attention\.x_shift_of_rows",
        "is_small = bound <= np.log(np.finfo(q.dtype).max) / 2",
        "is_small = bound < np.log(np.finfo(q.dtype).max) / 2",
        "at the bound itself a row may be shifted or not",
    ),
    *(
        at(
            r"ops\.tiles\.xǁTilesǁused",
            "for rows in (slice(i, i + self.queries) for i in range(0, self.t_query, self.queries)):",
            f"for rows in ({rows} for i in range(0, self.t_query, {step})):",
            "queries that several parts hold are judged alike in each",
        )
        for rows, step in (("slice(i, None)", "self.queries"), ("slice(i, i + self.queries)", ""))
    ),
    Equivalent(
        r"ops\.rotary\.x_rotary",
        r"first, second = .*",
        r"first, second = \(slice\(d // 2\), slice\(d // 2, (d|None)\)\) if layout == \"halves\" else "
        r"\(slice\((0|None), (d|None), 2\), slice\(1, (d|None), 2\)\)",
        "a slice begins at 0 and ends at the end if nothing else is said",
    ),
    at(
        r"ops\.positions\.x_relative_buckets",
        "first = np.concatenate([np.arange(exact), np.ceil(np.round(exact * (max_distance / exact) ** growth, 9))])",
        "first = np.concatenate([np.arange(exact), np.ceil(np.round(exact * (max_distance / exact) ** growth, 10))])",
        "the powers are right to more digits than either",
    ),
    at(
        r"ops\.cross_entropy\.x_cross_entropy",
        "is_whole = counted.all()",
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
        r"ops\.blockwise_attention\.x_blockwise_attention",
        r"keep = scaled_keep\(head, rows, columns\) if p > 0 else None",
        r"keep = scaled_keep\(head, rows, columns\) if (p >= 0|\(p > 0\) or True) else None",
        "with p = 0 all are kept, and multiplied by 1",
    ),
    Equivalent(
        r"ops\.blockwise_attention\.x_blockwise_attention",
        r"zero = query\.dtype\.type\(0\)",
        r"zero = query\.dtype\.type\(1\)",
        "what nobody attends to may be any number",
    ),
    Equivalent(
        r"ops\.blockwise_attention\.x_blockwise_attention",
        r"keep = (.*)\.random\(shape, dtype=np\.float32\) >= p",
        r"keep = (.*)\.random\(shape, (dtype=None)?\) >= p",
        "numbers with more digits are drawn as evenly",
    ),
    Equivalent(
        r"ops\.blockwise_attention\.x_blockwise_attention",
        r"keep = (.*) >= p",
        r"keep = (.*) > p",
        "of 16 million numbers one equals p",
    ),
    at(
        r"ops\.blockwise_attention\.x_blockwise_attention",
        "if p > 0:",
        "if p >= 0:",
        "with p = 0 all are kept, and multiplied by 1",
    ),
    at(
        r"ops\.blockwise_attention\.x_blockwise_attention",
        "total = np.where(total == 0, 1, total)",
        "total = np.where(total == 0, 2, total)",
        "nothing is nothing, whatever it is divided by",
    ),
    Equivalent(
        r"ops\.blockwise_attention\.x_shift_of_rows",
        r"is_small = bound <= (.*) / 2",
        r"is_small = bound <= (.*) / 3",
        "a smaller bound takes the largest score more often, which is always right",
    ),
    Equivalent(
        r"ops\.blockwise_attention\.x_shift_of_rows",
        r"highest = np\.full\(\(len\(q\), 1\), -np\.inf, q\.real\.dtype\)",
        r"highest = np\.full\(\(len\(q\), 1\), -np\.inf, (None)?\)",
        "in float64 the same numbers",
    ),
    Equivalent(
        r"ops\.blockwise_attention\.x_shift_of_rows",
        r"return np\.where\(is_free, shift, highest\.astype\(q\.dtype\)\)",
        r"return np\.where\(is_free, shift, highest\.astype\(None\)\)",
        "in float64 the same numbers",
    ),
    Equivalent(
        r"ops\.tiles\.xǁTilesǁlast_key",
        r"last = self\.t_key - 1 \+ np\.zeros(.*)",
        r"last = self\.t_key - 1 - np\.zeros(.*)",
        "zeros may be added or taken away",
    ),
    Equivalent(
        r"ops\.tiles\.xǁTilesǁrestrict",
        r"scores \+= mask\.astype\(scores\.dtype, copy=False\)",
        r"scores \+= mask\.astype\(scores\.dtype, (copy=(None|True))?\)",
        "a copy more is as right",
    ),
    Equivalent(
        r"ops\.tiles\.xǁTilesǁrestrict",
        r"if first_reaches < num_columns - 1:",
        r"if first_reaches (<= num_columns - 1|< num_columns \+ 1|< num_columns - 0):",
        "a tile that nothing is forbidden in is masked for nothing",
    ),
    Equivalent(
        r"ops\.activations\.x__gelu_exact",
        r".*\.astype\(x\.dtype, copy=False\).*",
        r".*\.astype\(x\.dtype, (copy=(None|True))?\).*",
        "a copy more is as right",
    ),
    at(
        r"ops\.activations\.x_limit",
        "if not x.max(initial=0) <= most:",
        "if not x.max(initial=1) <= most:",
        "every limit is far above 1",
    ),
    at(
        r"ops\.activations\.x_limit",
        "if not x.max(initial=0) <= most:",
        "if not x.max(initial=0) < most:",
        "equal is equal",
    ),
    Equivalent(
        r"ops\.checks\.x_check_integers",
        r"if type\(array\) in PLAIN and array\.dtype\.kind in \"iu\" and array\.dtype\.isnative:",
        r"if type\((None\)|array\) not) in PLAIN and .*|if type\(array\) in PLAIN and array\.dtype\.kind in \"(XXiuXX|IU)\".*",
        "the slower check that follows finds the same",
    ),
    Equivalent(
        r"ops\.activations\.x__gelu_tanh",
        r"for start in range\(0, x\.size, AT_ONCE\):|part = slice\(start, start \+ AT_ONCE\)",
        r"for start in range\(0, x\.size, \):|part = slice\((None, start \+ AT_ONCE|start, None|start \+ AT_ONCE)\)",
        "parts that overlap come out alike",
    ),
    at(
        r"ops\.masks\.x_combine_masks",
        'check_mask("combine_masks", mask, getattr(mask, "shape", ()))',
        'check_mask("combine_masks", mask, getattr(mask, "shape", None))',
        "what has no shape is refused first",
    ),
    Equivalent(
        r"ops\.(rows|normalization)\.",
        r"(.*x\.shape\[-1\] or) 1(.*)",
        r"(.*x\.shape\[-1\] or) 2(.*)",
        "without features 0 is divided by it",
    ),
    Equivalent(
        r"ops\.activations\.x_silu",
        r"positive = x\.real > 0",
        r"positive = x\.real (>= 0|> 1)",
        "for inputs that small no form overflows",
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
        r"ops\.checks\.x_check_indices",
        r"(.*), initial=0\) < size:",
        r"(.*), initial=1\) < size:",
        "the slower comparison that follows finds the same",
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
    at(
        r"ops\.attention\.x_masked_weights",
        "if mask is not None or t_query > t_key:",
        "if mask is not None or t_query >= t_key:",
        "with as many queries as keys causality leaves out none of them",
    ),
    at(
        r"ops\.attention\.x_masked_weights",
        "weights /= np.where(total == 0, 1, total)",
        "weights /= np.where(total == 0, 2, total)",
        "nothing is nothing, whatever it is divided by",
    ),
    Equivalent(
        r"ops\.dropout\.x_dropout",
        r"keep = generator\.random\(x\.shape, dtype=np\.float32\) >= p",
        r"keep = generator\.random\(x\.shape, (dtype=(None|np\.float32))?\) >=? p",
        "numbers with more digits are drawn as evenly, and of 16 million one equals p",
    ),
    Equivalent(
        r"ops\.attention\.x_product",
        r"return np\.matmul\(a, b, out=.*",
        r"return np\.matmul\(a, b, (out=None)?\)",
        "its layout in memory matters to speed alone",
    ),
    Equivalent(
        r"ops\.attention\.x_zero_unless_used",
        r"return x if used\.all\(\) else np\.where\(used, x, x\.dtype\.type\(0\)\)",
        r"return x if .* else np\.where\(used, x, x\.dtype\.type\((0|1)\)\)",
        "a copy more is as right, and what nobody attends to may be any number",
    ),
    Equivalent(
        r"ops\.positions\.x_cos_and_sin",
        r"if positions\.ndim < 2:",
        r"if positions\.ndim (<= 2|< 3):",
        "finding what is distinct first saves time alone",
    ),
    Equivalent(
        r"ops\.tiles\.xǁTilesǁ__init__",
        r"self\.queries = .*",
        r"self\.queries = [^/]*QUERIES[^/]*QUERIES",
        "where a tile ends changes the last digits alone",
    ),
]
