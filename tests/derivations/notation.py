"""The names in formulas and in tables of conventions, in one spelling."""

import re


def words(text: str) -> set[str]:
    return set(text.split())


GREEK = words(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta kappa lambda mu nu xi pi rho sigma tau phi "
    "varphi chi psi omega Gamma Delta Theta Lambda Sigma Phi Psi Omega"
)
LATEX = GREEK | words(
    "frac sum prod partial exp log max min sqrt tanh sin cos left right mathrm text top cdot odot quad qquad begin end "
    "infty approx le ge ne in to mapsto lVert rVert lfloor rfloor lceil rceil Big big bar hat tilde underbrace "
    "overline ldots cdots dots prime times circ"
)
"""What code hosts and the site render alike."""
WORDS = words("exp log max min sum diag sqrt tanh erf sin cos softmax mean var pi sign")
"""Names that mean the same everywhere, and need no line in a table."""


def names_in_formula(formula: str) -> set[str]:
    r"""Every name in a formula: letters, Greek letters by their names, words in \mathrm; `\mathrm{d}y` is dy."""
    formula = re.sub(r"\\(begin|end)\{\w+\}", " ", formula)
    formula = re.sub(r"\\text\{[^}]*\}", " ", formula)
    words_of = re.findall(r"\\mathrm\{d\}\s*\\mathrm\{([a-zA-Z]+)\}", formula)
    names = {"d" + word for word in words_of} | set(words_of)
    formula = re.sub(r"\\mathrm\{d\}\s*\\mathrm\{[a-zA-Z]+\}", " ", formula)
    accent = r"(?:\\(?:hat|bar|tilde)\s*\{?\s*)?"
    for letter in re.findall(r"\\mathrm\{d\}\s*" + accent + r"\\?([a-zA-Z]+)", formula):
        names.add("d" + (letter if letter in GREEK else letter[0]))
    formula = re.sub(r"\\mathrm\{d\}\s*" + accent + r"(\\[a-zA-Z]+|[a-zA-Z])", " ", formula)
    names |= set(re.findall(r"\\mathrm\{([a-zA-Z]+)\}", formula))
    formula = re.sub(r"\\mathrm\{[^}]*\}", " ", formula)
    names |= {command for command in re.findall(r"\\([a-zA-Z]+)", formula) if command in GREEK}
    return names | set(re.findall(r"[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", " ", formula)))


def names_in_table(table: str) -> set[str]:
    """Every name in the code of the first column: `delta_ij` defines delta, i and j; `W_query` W and query."""
    names: set[str] = set()
    for row in re.findall(r"^\|([^|]*)\|", table, re.MULTILINE):
        for code in re.findall(r"`([^`]*)`", row):
            for word in re.findall(r"[a-zA-Z]+", code):
                names.add(word)
            for subscript in re.findall(r"_([a-z]{2,3})\b", code):
                names |= set(subscript)
    return names
