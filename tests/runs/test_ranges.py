import math
import operator
import re
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from scratchformer.runs.ranges import Range, Relation, check_ranges


@dataclass(frozen=True)
class Ranged:
    num_steps: Annotated[int, Range(at_least=1)] = 1
    rate: Annotated[float, Range(above=0, below=math.inf)] = 0.5
    warmup: Annotated[int, Relation("num_steps", operator.lt, "must be less than", "; it comes first")] = 0
    betas: tuple[Annotated[float, Range(at_least=0, at_most=1)], ...] = (0.0, 1.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_steps": 0}, "--num-steps must be at least 1, got 0"),
        ({"rate": -0.5}, "--rate must be above 0, got -0.5"),
        ({"rate": math.nan}, "--rate must be above 0, got nan"),
        ({"rate": math.inf}, "--rate must be below inf, got inf"),
        ({"betas": (0.5, 1.5)}, "--betas must be at most 1, got 1.5"),
        ({"warmup": 3, "num_steps": 3}, "--warmup 3 must be less than --num-steps 3; it comes first"),
    ],
)
def test_an_option_out_of_its_range_is_named_as_it_is_typed(options: dict[str, Any], said: str) -> None:
    check_ranges(Ranged())
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        check_ranges(Ranged(**options))
