"""The glossary of all pages: what each name that several pages use means, made from their tables of conventions."""

import re
from collections.abc import Sequence

from scratchformer.derivations.formulas.names import COLUMN, names_of
from scratchformer.derivations.reader.pages import Page

LOCAL = "an intermediate result, which its page defines"
MEANINGS = {
    "A": "additive mask",
    "attention": "maps",
    "b": "bias",
    "bias": "bias",
    "count": "number of",
    "counts": "1 where the position counts",
    "D": "features",
    "d_k": "features of queries and keys",
    "d_v": "features of values and outputs",
    "delta": "1 where",
    "density": "density",
    "E": "table",
    "e": "exponentials",
    "epsilon": "small number",
    "eta": "learning rate",
    "factor": "factor",
    "feed": "maps",
    "g": "gradient",
    "gate": "gate",
    "H": "number of heads",
    "h": "step of an estimate",
    "I": "unit matrix",
    "ids": "ids",
    "J": "Jacobian",
    "K": "keys",
    "L": "loss",
    "l": "loss of one position",
    "lambda": "weight decay",
    "logits": "logits",
    "M": "scores plus the mask",
    "m": "moving average",
    "mean": "over draws",
    "middle": "stream after attention",
    "momentum": "momentum",
    "move": "move",
    "N": "number of rows",
    "norm": "norm",
    "norm_1": "maps",
    "norm_2": "maps",
    "norm_max": "largest norm allowed",
    "num_decayed": "decay",
    "other": "any other",
    "P": "softmax",
    "p": "probability of dropping",
    "penalty": "penalty on large parameters",
    "Phi": "normal distribution function",
    "proj": "matrix of the backward pass",
    "Q": "queries",
    "R": "scaled mask",
    "r": "prediction minus target",
    "rest": "remainder of the Taylor series",
    "rho": "one over the root mean square",
    "S": "scores",
    "s": "after the shift",
    "scale": "factor of the scores",
    "share": "share",
    "shift": "largest",
    "square": "square",
    "T_key": "number of keys",
    "T_query": "number of queries",
    "target": "target",
    "theta": "parameters",
    "theta_new": "parameters",
    "total": "sum of squares",
    "u": LOCAL,
    "unit": "unit roundoff",
    "V": "values",
    "v": LOCAL,
    "velocity": "velocity",
    "velocity_old": "velocity",
    "W": "weights",
    "w": LOCAL,
    "weight": "weight",
    "X": "as a matrix",
    "x": "input",
    "x_hat": "normalized row",
    "Y": "output",
    "y": "output",
    "z": "sum of exponentials",
}
"""Of each name that two pages or more define; the tables of all these pages have the same words."""
IN_FULL = {
    "attention": "the map of attention, from the normed stream to what is added to the stream",
    "count": "number of elements, positions or parameters, whichever the page counts",
    "delta": "1 where its two indices are equal, else 0",
    "density": "density of the normal distribution",
    "e": "exponentials of the shifted scores",
    "feed": "the feed-forward map, from the normed stream to what is added to the stream",
    "mean": "expected value, the mean over random draws",
    "norm_1": "the first norm of a block",
    "norm_2": "the second norm of a block",
    "num_decayed": "number of parameters that decay",
    "other": "any other vector or matrix, to compare with",
    "s": "scores after the shift",
    "shift": "the largest score of a row, which is subtracted from all of them",
    "theta": "parameters before a step",
    "theta_new": "parameters after a step",
    "X": "inputs as a matrix, one in each row",
}
"""What the glossary says of a name of which the tables share but a word."""
GRADIENT, GRADIENTS = re.compile(r"d[a-zA-Z]"), re.compile(r"gradient|derivative|cotangent")
Row = tuple[str, str, str]
"""A name without subscripts, the name of its variable in code, and the meaning in the table."""


def definitions(page: Page) -> list[Row]:
    """What a page's table of conventions defines, without indices and gradients, which are named alike everywhere."""
    names = names_of(page.text)
    conventions = page.text.partition("\n## Conventions\n")[2].partition("\n## ")[0]
    lines = [line for line in conventions.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    letters = set() if names is None else set(names.letters)
    column = rows[0].index(COLUMN) if COLUMN in rows[0] else 0
    found = []
    for row in rows[2:]:
        symbols, codes = (re.findall("`([^`]+)`", row[place]) for place in (0, column))
        for symbol, code in zip(symbols, codes if codes else [""] * len(symbols), strict=True):
            name = _without_subscripts(symbol, letters)
            if symbol not in letters and not (GRADIENT.match(name) and GRADIENTS.search(row[-1])):
                variable = re.match(r"[A-Za-z_]\w*(?=$|\[|\.reshape|\.ravel)", code)
                found.append((name, variable[0] if variable else "", row[-1]))
    return list(dict.fromkeys(found))


def _without_subscripts(symbol: str, letters: set[str]) -> str:
    symbol = symbol.partition("(")[0]
    name, _, subscripts = symbol.rpartition("_")
    return name if name and set(subscripts) <= letters else symbol


def glossary(all_pages: Sequence[Page]) -> str:
    """The lines of the glossary, as a table of Markdown: name, name in code where it is another, meaning, pages.

    Raises ValueError for a name of two pages without a meaning in MEANINGS, and for a page that gives it another one.
    """
    of_name: dict[str, list[tuple[Page, Row]]] = {}
    for page in all_pages:
        for row in definitions(page):
            of_name.setdefault(row[0], []).append((page, row))
    lines = ["| name | in code | meaning | pages |", "|---|---|---|---|"]
    for name, places in sorted(of_name.items(), key=lambda item: (item[0].casefold(), item[0])):
        names = list(dict.fromkeys(page.name for page, _ in places))
        if len(names) == 1:
            continue
        if name not in MEANINGS:
            raise ValueError(f"the glossary has no meaning of {name}, which is on the pages {', '.join(names)}")
        meaning = MEANINGS[name]
        for page, row in places:
            if meaning is not LOCAL and meaning not in row[2].casefold() and meaning not in row[2]:
                raise ValueError(f"{page.name}.md says {row[2]!r} of {name}, expected the words {meaning!r}")
        others = sorted({row[1] for _, row in places} - {name, ""})
        code = ", ".join(f"`{other}`" for other in others)
        links = ", ".join(f"[{other}]({other}.md)" for other in names)
        lines.append(f"| `{name}` | {code} | {IN_FULL.get(name, meaning)} | {links} |")
    return "\n".join(lines) + "\n"
