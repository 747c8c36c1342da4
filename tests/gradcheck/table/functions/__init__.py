"""The functions of the table, each with its right gradient."""

from tests.gradcheck.table.functions.activations import ACTIVATIONS
from tests.gradcheck.table.functions.elementary import ELEMENTARY
from tests.gradcheck.table.functions.function import Domain, Function
from tests.gradcheck.table.functions.linear_algebra import LINEAR_ALGEBRA
from tests.gradcheck.table.functions.losses import LOSSES
from tests.gradcheck.table.functions.order_statistics import ORDER_STATISTICS
from tests.gradcheck.table.functions.signals import SIGNALS
from tests.gradcheck.table.functions.special_functions import SPECIAL_FUNCTIONS
from tests.gradcheck.table.functions.statistics import STATISTICS

FUNCTIONS = [
    *ELEMENTARY,
    *SPECIAL_FUNCTIONS,
    *ACTIVATIONS,
    *LOSSES,
    *LINEAR_ALGEBRA,
    *ORDER_STATISTICS,
    *SIGNALS,
    *STATISTICS,
]

__all__ = ["FUNCTIONS", "Domain", "Function"]
