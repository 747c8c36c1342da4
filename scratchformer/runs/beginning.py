from collections.abc import Mapping
from typing import Any

from scratchformer.runs.command_line import places_of
from scratchformer.runs.environment import describe_environment
from scratchformer.runs.folder import RunFolder, read_run


def check_run(config: Any) -> None:
    """Raises ValueError for options of a run that make no sense together: `threads`, `batch`, `out` and `resume`."""
    if config.threads > config.batch:
        raise ValueError(f"--threads {config.threads} is more than --batch {config.batch}; each takes a sequence")
    check_places(config)


def check_places(config: Any) -> None:
    """Raises ValueError where both `out` and `resume` are given."""
    if config.resume is not None and config.out is not None:
        raise ValueError(
            f"--out {config.out} makes no sense beside --resume {config.resume}, which goes on in its folder"
        )


def begin_run(config: Any, program: str, run: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> RunFolder:
    """The folder of a run: a new one with its configuration in it, or the one that `--resume` goes on in.

    Args:
        config: with `out`, and `resume` if the program can go on.
        program: the experiment, which a run can go on with alone, and a folder without a name is named after.
        run: what the run depends on.
        about: more to write down, which it does not depend on; where things are and the environment are added.
    """
    if (resumed := getattr(config, "resume", None)) is not None:
        read_run(resumed, experiment=program)
        return RunFolder.open(resumed)
    folder = RunFolder(config.out, program)
    more = {"experiment": program, "places": places_of(config), "environment": describe_environment()}
    more |= dict(about or {})
    folder.write_json("config", dict(run) | more)
    return folder
