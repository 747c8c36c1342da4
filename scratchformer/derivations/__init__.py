"""How every gradient is derived: pages whose code runs, and the reader that runs them."""

from scratchformer.derivations.reader.checking import CheckResult, check, derivative, mistake, same, vanishes
from scratchformer.derivations.reader.memory import kept_bytes
from scratchformer.derivations.reader.pages import Page, find_page, pages
from scratchformer.derivations.reader.running import PageError, describe_wrong, run_page

__all__ = [
    "CheckResult",
    "Page",
    "PageError",
    "check",
    "derivative",
    "describe_wrong",
    "find_page",
    "kept_bytes",
    "mistake",
    "pages",
    "run_page",
    "same",
    "vanishes",
]
