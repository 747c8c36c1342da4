"""What every experiment shares: a typed command line, a run folder, training that can be stopped, figures."""

from scratchformer.runs.command_line import check_option, describe_options, one_sentence_errors, parse
from scratchformer.runs.environment import describe_environment
from scratchformer.runs.figures import draw_attention, draw_losses, draw_norms, evaluations
from scratchformer.runs.folder import RunFolder, read_json
from scratchformer.runs.progress import ProgressBar
from scratchformer.runs.recorder import Recorder
from scratchformer.runs.stopping import StopSignals, run_script
from scratchformer.runs.summary import summarize
from scratchformer.runs.table import Table, read_table
from scratchformer.runs.training_run import run_training

__all__ = [
    "ProgressBar",
    "Recorder",
    "RunFolder",
    "StopSignals",
    "Table",
    "check_option",
    "describe_environment",
    "describe_options",
    "draw_attention",
    "draw_losses",
    "draw_norms",
    "evaluations",
    "one_sentence_errors",
    "parse",
    "read_json",
    "read_table",
    "run_script",
    "run_training",
    "summarize",
]
