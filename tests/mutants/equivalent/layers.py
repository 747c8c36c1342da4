"""Of the layers."""

from tests.mutants.equivalent.kind import Equivalent, at

EQUIVALENT = [
    Equivalent(
        r"layers\.layer\.xǁLayerǁ_twin",
        r"arrays \+= \[parameter\.value, parameter\.grad\]",
        r"arrays = \[parameter\.value, parameter\.grad\]",
        "arrays are copied, and then replaced, for nothing",
    ),
    Equivalent(
        r"layers\.layer\.xǁLayerǁ_twin",
        r"return copy\.deepcopy\(self, \{.*\}\)",
        r"return copy\.deepcopy\(self, (None|\{.* if array is None\})?\)",
        "arrays are copied, and then replaced, for nothing",
    ),
    Equivalent(
        r"layers\.layer\.xǁLayerǁ_twin",
        r"arrays = \[self\.__dict__\.get\(\"values\"\), self\.__dict__\.get\(\"grads\"\)\]",
        r"arrays = \[self\.__dict__\.get\(.*\), self\.__dict__\.get\(.*\)\]",
        "a vector is copied, and then replaced, for nothing",
    ),
    Equivalent(
        r"layers\.cache\.xǁKeyValueCacheǁextend",
        r"if type\(key\) not in PLAIN or type\(value\) not in PLAIN or .*",
        r"if (type\(None\) not in PLAIN .*|.* or type\(None\) not in PLAIN or .*)",
        "the slower check that follows finds the same",
    ),
    at(
        r"layers\.cache\.xǁKeyValueCacheǁtruncate",
        "if length < stored.length and stored.start > 0:",
        "if length < stored.length and stored.start > 1:",
        "a window passes by more than SPARE positions at once",
    ),
    at(
        r"layers\.cache\.xǁKeyValueCacheǁselect",
        "for array in held[:1] or [array for array in (self.memory,) if array is not None]:",
        "for array in held[:2] or [array for array in (self.memory,) if array is not None]:",
        "all have the same number of rows",
    ),
    at(
        r"layers\.linear\.xǁTiedLinearǁ__call__",
        "y, linear_backward = linear(x, self.table.value.T, None)",
        "y, linear_backward = linear(x, self.table.value.T, )",
        "without a bias it is None, too",
    ),
    Equivalent(
        r"layers\.next_position\.x_fed",
        r"a = gelu_tanh\(gate\) if activation\.endswith\(\"_tanh\"\) else (.*)",
        r"a = gelu_tanh\(gate\) if (\(activation\.\w+\(.*\)\) and False|.*\(\"(XX_tanhXX|_TANH)\"\)) else (.*)",
        "the op gives the same in twice the time",
    ),
    Equivalent(
        r"layers\.next_position\.x_mapped",
        r"if type\(linear\) is Linear:|elif type\(linear\) is TiedLinear:|weight = linear\.table\.value\.T",
        r"if type\(None\) is Linear:|elif type\(None\) is TiedLinear:|weight = None",
        "the layer gives the same in more time",
    ),
    Equivalent(
        r"layers\.next_position\.x_normed",
        r"if x\.ndim > 1 or type\(norm\) not in \(LayerNorm, RMSNorm\):",
        r"if (x\.ndim >= 1 or type\(norm\)|x\.ndim > 1 or type\(None\)) not in \(LayerNorm, RMSNorm\):",
        "the layer gives the same in more time",
    ),
    at(
        r"layers\.next_position\.x_normed",
        "centred -= dot(ones(n, x.dtype), centred) / n",
        "centred -= dot(ones(n, None), centred) / n",
        "a mean with more digits is as right",
    ),
    at(
        r"layers\.next_position\.x_normed",
        "if not SMALLEST[x.dtype.char] <= mean_square < math.inf:",
        "if not SMALLEST[x.dtype.char] < mean_square < math.inf:",
        "at the bound both ways are right",
    ),
    Equivalent(
        r"layers\.positions\.x_turns_of",
        r"(.*) else np\.array\(frequencies, np\.float64\)",
        r"(.*) else np\.array\(frequencies, (None)?\)",
        "angles come out in float64 either way",
    ),
    Equivalent(
        r"layers\.trace\.xǁTraceǁ__getitem__",
        r"close = get_close_matches\(str\(name\), self\.arrays, n=1\)",
        r"close = get_close_matches\(str\(name\), self\.arrays, (n=2)?\)",
        "the first match alone is read",
    ),
    at(
        r"layers\.checks\.x_check_call",
        "is_causal: bool = False,",
        "is_causal: bool = True,",
        "both are fit to be given",
    ),
    at(
        r"layers\.multi_head_attention\.xǁMultiHeadAttentionǁ_attend",
        "if group > 1 or self.config.window is not None:",
        "if group >= 1 or self.config.window is not None:",
        "without groups and a window the op finds the same",
    ),
    Equivalent(
        r"layers\.multi_head_attention\.xǁMultiHeadAttentionǁ_attend",
        r"leaves_out = leaves_out_future\(grouped_mask, is_causal, self\.config\.dropout, generator\)",
        r"leaves_out = leaves_out_future\((None, .*, generator|grouped_mask, .*, None)\)",
        "it chooses between two ways to the same result",
    ),
    at(
        r"layers\.multi_head_attention\.xǁMultiHeadAttentionǁ_within_window",
        "if window is None or window >= t_key:",
        "if window is None or window > t_key:",
        "a window of all keys forbids the future alone",
    ),
    Equivalent(
        r"layers\.multi_head_attention\.xǁMultiHeadAttentionǁ_within_window",
        r"return (combine_masks\(.*\)), True",
        r"return (combine_masks\(.*window=window\)\)), False",
        "a window's mask forbids the future, too",
    ),
    Equivalent(
        r"layers\.multi_head_attention\.xǁMultiHeadAttentionǁ_keys_and_values",
        r"return \*cache\.across\(lambda: self\._projected\(memory, positions\)(.*)",
        r"return \*cache\.across\(lambda: self\._projected\(memory, None\)(.*)",
        "what is attended to across has no positions to turn by",
    ),
    Equivalent(
        r"layers\.block\.xǁTransformerBlockǁ_attend_across",
        r"cache=cache_within\(cache, \"cross_attention\"\),",
        r"cache=cache_within\(cache, \"(XX\w+XX|[A-Z_]+)\"\),",
        "parts of a cache may have any names that differ",
    ),
    at(
        r"layers\.block\.xǁTransformerBlockǁ_attend_across",
        "if self.cross_attention is None or self.add_cross_attention is None:",
        "if self.cross_attention is None and self.add_cross_attention is None:",
        "both are there or neither is",
    ),
    at(
        r"layers\.stack\.x_add",
        "return part if total is None else total if part is None else total + part",
        "return part if total is None else total if (part is None) and False else total + part",
        "a part is there for all blocks or for none",
    ),
    at(
        r"layers\.cache\.xǁKeyValueCacheǁ__init__",
        'self._prefix = ""',
        'self._prefix = "XXXX"',
        "all names of one cache begin alike",
    ),
    Equivalent(
        r"layers\.parts\.x_describe_parts",
        r"width = max\(map\(len, sizes\), default=0\)",
        r"width = max\(map\(len, sizes\), default=(None|1)\)",
        "without parts no line has a width",
    ),
    at(
        r"layers\.parts\.x__times",
        'return f"  {len(sizes)} x {sizes[0]:,}" if len(set(sizes)) == 1 else f"  {len(sizes)} of them"',
        'return f"  {len(sizes)} x {sizes[1]:,}" if len(set(sizes)) == 1 else f"  {len(sizes)} of them"',
        "all are equal",
    ),
]
