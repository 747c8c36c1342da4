"""Of any module."""

from tests.mutants.equivalent.kind import Equivalent

EQUIVALENT = [
    Equivalent(".*", r".*\.flags\.writeable = False", r".*\.flags\.writeable = None", "None is as false as False"),
    Equivalent(".*", r".*, strict=True\).*", r".*, (strict=(None|False))?\).*", "the lengths were compared before"),
    Equivalent(".*", r".*kind not in \"\w+\".*", r".*kind not in \"XX\w+XX\".*", "NumPy has no kind of the name X"),
]
