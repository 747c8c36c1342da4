"""What every program that runs shares: a typed command line, a run folder, training that can be stopped, figures."""

from scratchformer.runs.command_line import one_sentence_errors, parse
from scratchformer.runs.figures import (
    ReferenceRun,
    comparable_run,
    draw_attention,
    draw_losses,
    draw_norms,
    reference_curves,
    reference_run,
)
from scratchformer.runs.files import Curves, Table, read_json, read_measures, read_metrics, read_table
from scratchformer.runs.folder import (
    RunFolder,
    begin_run,
    describe_environment,
    load_run,
    read_config,
    read_options,
    read_run,
)
from scratchformer.runs.progress_bar import ProgressBar
from scratchformer.runs.ranges import Range, check_ranges
from scratchformer.runs.stopping import Stopped, StopSignals, run_script
from scratchformer.runs.stored_options import options_of, places_of
from scratchformer.runs.summary import About, Result, conclude, read_summary, results_of
from scratchformer.runs.training_run import Recorder, Training, run_training

__all__ = [
    "About",
    "Curves",
    "ProgressBar",
    "Range",
    "Recorder",
    "ReferenceRun",
    "Result",
    "RunFolder",
    "StopSignals",
    "Stopped",
    "Table",
    "Training",
    "begin_run",
    "check_ranges",
    "comparable_run",
    "conclude",
    "describe_environment",
    "draw_attention",
    "draw_losses",
    "draw_norms",
    "load_run",
    "one_sentence_errors",
    "options_of",
    "parse",
    "places_of",
    "read_config",
    "read_json",
    "read_measures",
    "read_metrics",
    "read_options",
    "read_run",
    "read_summary",
    "read_table",
    "reference_curves",
    "reference_run",
    "results_of",
    "run_script",
    "run_training",
]
