"""Automatic mutants that no test can kill, each with the reason why it changes nothing that is promised."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Equivalent:
    """Changes that are equivalent: where (a pattern of mutmut's names), from what, to what (patterns), and why."""

    where: str
    old: str
    new: str
    reason: str


def at(where: str, old: str, new: str, reason: str) -> Equivalent:
    """One change, given literally."""
    return Equivalent(where, re.escape(old), re.escape(new), reason)


EQUIVALENT = [
    Equivalent(".*", r".*\.flags\.writeable = False", r".*\.flags\.writeable = None", "None is as false as False"),
    Equivalent(".*", r".*, strict=True\).*", r".*, (strict=(None|False))?\).*", "the lengths were compared before"),
    Equivalent(
        r"ops\.positions\.x_rotary",
        r"first, second = .*",
        r"first, second = \(slice\(d // 2\), slice\(d // 2, (d|None)\)\) if layout == \"halves\" else "
        r"\(slice\((0|None), (d|None), 2\), slice\(1, (d|None), 2\)\)",
        "a slice begins at 0 and ends at the end if nothing else is said",
    ),
    Equivalent(".*", r".*kind not in \"\w+\".*", r".*kind not in \"XX\w+XX\".*", "NumPy has no kind of the name X"),
    at(
        r"ops\.positions\.x_relative_buckets",
        "first = np.concatenate([np.arange(exact), np.ceil(np.round(exact * (max_distance / exact) ** growth, 9))])",
        "first = np.concatenate([np.arange(exact), np.ceil(np.round(exact * (max_distance / exact) ** growth, 10))])",
        "the powers are right to more digits than either",
    ),
    at(
        r"optim\.adam\.xǁAdamǁ_update",
        "num_decayed = self.parameters.num_decayed if self.weight_decay else 0",
        "num_decayed = self.parameters.num_decayed if (self.weight_decay) or True else 0",
        "a decay of 0 leaves every value as it is",
    ),
    at(
        r"optim\.adam\.xǁAdamǁ_update",
        "num_decayed = self.parameters.num_decayed if self.weight_decay else 0",
        "num_decayed = self.parameters.num_decayed if self.weight_decay else 1",
        "a decay of 0 leaves every value as it is",
    ),
    at(
        r"optim\.optimizer\.xǁOptimizerǁstep",
        'if not 0 <= learning_rate < float("inf"):',
        'if not 0 <= learning_rate < float("INF"):',
        "Python reads both as infinity",
    ),
    at(
        r"optim\.sgd\.xǁSGDǁ__init__",
        'state = {"velocity": np.zeros_like(parameters.values)} if momentum else {}',
        'state = {"velocity": np.zeros_like(parameters.values)} if (momentum) or True else {}',
        "without momentum the velocity is kept but not used",
    ),
    at(
        r"optim\.clipping\.x_global_norm",
        "exact = grads[span].astype(np.float64)  # squares of float32 overflow from 1e19 on",
        "exact = grads[span].astype(None)  # squares of float32 overflow from 1e19 on",
        "NumPy takes None for float64",
    ),
    at(
        r"optim\.clipping\.x_clip_global_norm",
        "if max_norm < norm < math.inf:",
        "if max_norm <= norm < math.inf:",
        "at the limit the factor is 1",
    ),
    at(
        r"optim\.schedules\.xǁWarmupCosineǁ__call__",
        "if step < self.warmup_steps:",
        "if step <= self.warmup_steps:",
        "both branches give the peak there",
    ),
    at(
        r"ops\.cross_entropy\.x_cross_entropy",
        "exponentials = np.exp(z, out=z)",
        "exponentials = np.exp(z, out=None)",
        "in place it saves memory alone",
    ),
    at(
        r"ops\.cross_entropy\.x_cross_entropy",
        "exponentials = np.exp(z, out=z)",
        "exponentials = np.exp(z, )",
        "in place it saves memory alone",
    ),
    at(
        r"ops\.cross_entropy\.x_cross_entropy",
        "x = logits.reshape(-1, classes) if counted.all() else logits[counted]",
        "x = logits.reshape(-1, classes) if (counted.all()) and False else logits[counted]",
        "both give the same rows, the reshaped ones without a copy",
    ),
    at(
        r"ops\.cross_entropy\.x_cross_entropy",
        "x = logits.reshape(-1, classes) if counted.all() else logits[counted]",
        "x = logits.reshape(-2, classes) if counted.all() else logits[counted]",
        "NumPy takes any negative length for the one to be found",
    ),
    at(
        r"ops\.cross_entropy\.x_cross_entropy",
        "z = x - x.real.max(axis=-1, keepdims=True)",
        "z = x - x.real.max(axis=+1, keepdims=True)",
        "of two axes the last is the second",
    ),
    at(
        r"ops\.cross_entropy\.x__nothing_counted",
        "def backward(dloss: float = 1.0) -> ndarray:",
        "def backward(dloss: float = 2.0) -> ndarray:",
        "the gradient is zero whatever it is multiplied by",
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
        r"ops\.blockwise_attention\.x__shift",
        r"is_small = bound <= (.*) / 2",
        r"is_small = bound <= (.*) / 3",
        "a smaller bound takes the largest score more often, which is always right",
    ),
    Equivalent(
        r"ops\.blockwise_attention\.x__shift",
        r"highest = np\.full\(\(len\(q\), 1\), -np\.inf, q\.real\.dtype\)",
        r"highest = np\.full\(\(len\(q\), 1\), -np\.inf, (None)?\)",
        "in float64 the same numbers",
    ),
    Equivalent(
        r"ops\.blockwise_attention\.x__shift",
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
    Equivalent(
        r"ops\.embedding\.x_add_rows",
        r"(.*)rows\.reshape\(-1, table\.shape\[1\]\)\[order\], starts, axis=0\)",
        r"(.*)rows\.reshape\((-1|-2), table\.shape\[1\]\)\[order\], starts, (axis=0)?\)",
        "0 is the default, and any negative length is the one to be found",
    ),
    Equivalent(
        r"ops\.attention\.x__product",
        r"return np\.matmul\(a, b, out=.*",
        r"return np\.matmul\(a, b, (out=None)?\)",
        "its layout in memory matters to speed alone",
    ),
    Equivalent(
        r"ops\.attention\.x__zero_unless",
        r"return x if used\.all\(\) else np\.where\(used, x, x\.dtype\.type\(0\)\)",
        r"return x if .* else np\.where\(used, x, x\.dtype\.type\((0|1)\)\)",
        "a copy more is as right, and what nobody attends to may be any number",
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
    Equivalent(
        r"ops\.positions\.x__cos_and_sin",
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


def reason_for(name: str, old: str, new: str) -> str | None:
    """Why the change is equivalent, None if nothing here says so."""
    for equivalent in EQUIVALENT:
        if (
            re.search(equivalent.where, name)
            and re.fullmatch(equivalent.old, old)
            and re.fullmatch(equivalent.new, new)
        ):
            return equivalent.reason
    return None
