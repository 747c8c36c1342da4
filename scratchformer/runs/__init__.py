"""What every experiment shares: a typed command line, a run folder, training that can be stopped, figures."""

from scratchformer.runs.beginning import begin_run, check_places, check_run
from scratchformer.runs.command_line import check_option, one_sentence_errors, options_of, parse, places_of
from scratchformer.runs.environment import describe_environment
from scratchformer.runs.figures import comparable_run, draw_attention, draw_losses, draw_norms, evaluations
from scratchformer.runs.folder import RunFolder, load_run, read_json, read_options, read_run
from scratchformer.runs.measures import Curves, as_reference_run, read_measures, reference_curves
from scratchformer.runs.progress import ProgressBar
from scratchformer.runs.recorder import Recorder
from scratchformer.runs.stopping import Stopped, StopSignals, run_script
from scratchformer.runs.summary import About, Result, conclude, is_as, read_summary, results_of
from scratchformer.runs.table import Table, read_table
from scratchformer.runs.training_run import run_training

__all__ = [
    "About",
    "Curves",
    "ProgressBar",
    "Recorder",
    "Result",
    "RunFolder",
    "StopSignals",
    "Stopped",
    "Table",
    "as_reference_run",
    "begin_run",
    "check_option",
    "check_places",
    "check_run",
    "comparable_run",
    "conclude",
    "describe_environment",
    "draw_attention",
    "draw_losses",
    "draw_norms",
    "evaluations",
    "is_as",
    "load_run",
    "one_sentence_errors",
    "options_of",
    "parse",
    "places_of",
    "read_json",
    "read_measures",
    "read_options",
    "read_run",
    "read_summary",
    "read_table",
    "reference_curves",
    "results_of",
    "run_script",
    "run_training",
]
