"""What every experiment shares: a typed command line, a run folder, progress."""

from scratchformer.runs.command_line import check_option, one_sentence_errors, parse
from scratchformer.runs.environment import describe_environment
from scratchformer.runs.folder import Metrics, RunFolder
from scratchformer.runs.progress import ProgressBar

__all__ = [
    "Metrics",
    "ProgressBar",
    "RunFolder",
    "check_option",
    "describe_environment",
    "one_sentence_errors",
    "parse",
]
