"""Of attention, its masks and its products."""

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
        r"ops\.blockwise_attention\.x_blockwise_attention",
        r"keep = scaled_keep\(head, rows, columns\) if p > 0 else None",
        r"keep = scaled_keep\(head, rows, columns\) if (p >= 0|\(p > 0\) or True) else None",
        "with p = 0 all are kept, and multiplied by 1",
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
        "total = np.where(total == 0, 1, total)",
        "total = np.where(total == 0, 2, total)",
        "nothing is nothing, whatever it is divided by",
    ),
    Equivalent(
        r"ops\.blockwise_attention\.x_longest_keys",
        r"(moderate = np\.exp\(0\.375 \* |is_extreme = ).*",
        r"moderate = np\.exp\(0\.375 / .*|is_extreme = .*\.any\((axis=None, )?keepdims=True\)|"
        r"is_extreme = .*(size >= |size <= 1 / |size < 2 / |size < 1 \* |\) \| \(size > 0).*",
        "to take the largest score of more rows is as right",
    ),
    Equivalent(
        r"ops\.blockwise_attention\.x_longest_keys",
        r"if least\(size\) >= 1 / moderate and largest\(size\) <= moderate:",
        r"if least\(size\) (>= 1 \* |> 1 / |>= 2 / )moderate and .*|if .* and largest\(size\) < moderate:",
        "what this asks at once is asked of every row behind it",
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
        r"if free < num_columns:",
        r"if free <= num_columns:",
        "behind the last column nothing is forbidden",
    ),
    at(
        r"ops\.masks\.x_keys_up_to_query",
        "if num_queries * num_keys > MOST_KEPT:",
        "if num_queries * num_keys >= MOST_KEPT:",
        "a mask is the same whether it is kept or not",
    ),
    at(
        r"ops\.masks\.x_combine_masks",
        'check_mask("combine_masks", mask, getattr(mask, "shape", ()))',
        'check_mask("combine_masks", mask, getattr(mask, "shape", None))',
        "what has no shape is refused first",
    ),
    Equivalent(
        r"ops\.attention\.x_scaled_dot_product_attention",
        r"if leaves_out_future(.*) and CAUSAL_PART < query(.*)",
        r"if leaves_out_future(.*) and CAUSAL_PART <= query(.*)",
        "a single part is the whole",
    ),
    at(
        r"ops\.attention\.x_attention__",
        "dropout: float = 0.0,",
        "dropout: float = 1.0,",
        "without a generator nothing is dropped",
    ),
    Equivalent(
        r"ops\.attention\.x_attention__",
        r"is_dropped = generator is not None and dropout > 0|(dropped, .*) if is_dropped else (.*)",
        r"is_dropped = generator is not None (or .*|and dropout >= 0)|dropped, .* if \(is_dropped\) or True else .*",
        "the op that drops leaves all as it is then",
    ),
    Equivalent(
        r"ops\.attention\.x_product",
        r"return product_in_blocks\(a, b, out=y\)",
        r"return product_in_blocks\(a, b, (out=None)?\)",
        "its layout in memory matters to speed alone",
    ),
    at(
        r"ops\.attention\.x_masked_weights",
        "if mask is not None or t_query > t_key:",
        "if mask is not None or t_query >= t_key:",
        "with as many queries as keys causality leaves out none of them",
    ),
    Equivalent(
        r"ops\.attention\.x_memory_order",
        r"return \"K\" if all\(x\.strides\) else \"C\"",
        r"return \"K\" if \(all\(x\.strides\)\) (and False|or True) else \"C\"",
        "the layout in memory matters to speed alone",
    ),
    at(
        r"ops\.attention\.x_leaves_out_future",
        "return is_causal and mask is None and (dropout == 0 or generator is None)",
        "return is_causal and mask is None and (dropout == 1 or generator is None)",
        "to form all scores gives the same in more time",
    ),
    Equivalent(
        r"ops\.attention\.x_masked_weights",
        r"weights /= total if least\(total\.real\) > 0 else (.*)",
        r"weights /= total if (\(least\(total\.real\) > 0\) and False|least\(total\.real\) > 1) else (.*)",
        "where no sum is 0 those that are kept are the same",
    ),
    at(
        r"ops\.attention\.x_masked_weights",
        "weights /= total if least(total.real) > 0 else np.where(total == 0, 1, total)",
        "weights /= total if least(total.real) > 0 else np.where(total == 0, 2, total)",
        "nothing is nothing, whatever it is divided by",
    ),
    Equivalent(
        r"ops\.attention\.x_zero_unless_used",
        r"return x if used\.all\(\) else np\.where\(used, x, x\.dtype\.type\(0\)\)",
        r"return x if (\(used\.all\(\)\) and False|used\.all\(\)) else np\.where\(used, x, x\.dtype\.type\((0|1)\)\)",
        "a copy more is as right, and what nobody attends to may be any number",
    ),
    Equivalent(
        r"ops\.cached_products\.x_cached_row_products",
        r"if a\.shape\[-2\] > FEW_ROWS or n \* d \* b\.itemsize <= BLOCK_BYTES:",
        r"if a\.shape\[-2\] (>= FEW_ROWS .* <=|> FEW_ROWS or n \* d (\* .* <|/ .* <=)) BLOCK_BYTES:",
        "what is cut into blocks, or not, changes in the last digits alone",
    ),
    Equivalent(
        r"ops\.cached_products\.x_cached_row_products",
        r"at_once = max\(1, BLOCK_BYTES // \(d \* b\.itemsize\)\)",
        r"at_once = max\((2, .* d \* .*|1, .* d / .*)\)",
        "where a block ends changes the last digits alone",
    ),
    Equivalent(
        r"ops\.rows\.x_product_in_blocks",
        r"is_cut_by_blas = n >= 2 \* BLOCK and m > FEW_ROWS and m \* n \* d > SMALL_PRODUCT",
        r"is_cut_by_blas = (n (> 2 \*|>= 2 /|>= 3 \*) .*|.*(m >= FEW_ROWS| / [nd] | >= SMALL_PRODUCT).*|None)",
        "what is cut into blocks, or not, changes in the last digits alone",
    ),
    Equivalent(
        r"ops\.rows\.x_product_in_blocks",
        r"if n <= BLOCK or is_cut_by_blas:",
        r"if (n < BLOCK or is_cut_by_blas|\(n <= BLOCK or is_cut_by_blas\) and False|n <= BLOCK and is_cut_by_blas):",
        "a block alone is the product",
    ),
]
