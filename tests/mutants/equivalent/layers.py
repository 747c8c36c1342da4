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
        r"layers\.layer\.xǁLayerǁpack",
        r"values = values\.astype\(values\.dtype if dtype is None else dtype, copy=False\)",
        r"values = values\.astype\(values\.dtype if dtype is None else dtype, (copy=(None|True))?\)",
        "a copy more is as right",
    ),
    Equivalent(
        r"layers\.layer\.xǁLayerǁ_twin",
        r"arrays = \[self\.__dict__\.get\(\"values\"\), self\.__dict__\.get\(\"grads\"\)\]",
        r"arrays = \[self\.__dict__\.get\(.*\), self\.__dict__\.get\(.*\)\]",
        "a vector is copied, and then replaced, for nothing",
    ),
    at(
        r"layers\.trace\.xǁTraceǁ__getitem__",
        "close = get_close_matches(name, self.arrays, n=1)",
        "close = get_close_matches(name, self.arrays, n=2)",
        "the first match alone is read",
    ),
    at(
        r"layers\.trace\.xǁTraceǁ__getitem__",
        "close = get_close_matches(name, self.arrays, n=1)",
        "close = get_close_matches(name, self.arrays, )",
        "the first match alone is read",
    ),
    at(
        r"layers\.heads\.x_repeat_heads",
        "return heads if group == 1 else np.repeat(heads, group, axis=-3)",
        "return heads if (group == 1) and False else np.repeat(heads, group, axis=-3)",
        "a copy more is as right",
    ),
    at(
        r"layers\.multi_head_attention\.xǁMultiHeadAttentionǁ__call__",
        "start = 0 if cache is None else cache.length",
        "start = 1 if cache is None else cache.length",
        "of positions the differences alone count",
    ),
    at(
        r"layers\.cache\.xǁKeyValueCacheǁ__init__",
        'self._prefix = ""',
        'self._prefix = "XXXX"',
        "all names of one cache begin alike",
    ),
]
