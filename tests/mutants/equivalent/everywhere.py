"""Of any module."""

from tests.mutants.equivalent.kind import Equivalent, at

EQUIVALENT = [
    at(".*", "fits = False", "fits = None", "None is as false as False"),
    Equivalent(".*", r".*\.flags\.writeable = False.*", r".*\.flags\.writeable = None.*", "None is as false as False"),
    Equivalent(
        ".*",
        r".*, strict=True\).*",
        r"(?!.*strict=True).*, (strict=(None|False))?\).*",
        "the lengths were compared before",
    ),
    Equivalent(".*", r".*float\(\"inf\"\).*", r".*float\(\"INF\"\).*", "Python reads both as infinity"),
    Equivalent(
        ".*",
        r".*reshape\((.*, )?-1(, [^()]+)?\).*",
        r".*reshape\((.*, )?-2(, [^()]+)?\).*",
        "NumPy takes any negative length for what is left",
    ),
    Equivalent(
        ".*", r".*, strict=False\).*", r"(?!.*strict=False).*zip.*, (strict=None)?\).*", "None and nothing are as False"
    ),
    Equivalent(
        ".*",
        r"(.*)order=memory_order\(\w+\)(.*)",
        r".*(order=None|_like\(\w+, (\)|shape=)).*",
        "the layout in memory matters to speed alone",
    ),
    Equivalent(
        ".*",
        r"(\w+ = |return )np\.\w+\(.*, out=\w+\)",
        r"(\w+ = |return )np\.\w+\(.*, (out=None)?\)",
        "in place it saves memory alone",
    ),
    Equivalent(
        ".*",
        r".*(kind|char) (not )?in \"\w+\".*",
        r".*(kind|char) (not )?in \"XX\w+XX\".*",
        "NumPy has no kind of the name X",
    ),
]
