"""Packages that the extra `pretrained` brings. They are imported when they are needed, and not before."""

import importlib
from types import ModuleType


def import_extra(function: str, name: str) -> ModuleType:
    """Imports a package or module of the extra, such as `tokenizers`.

    Args:
        function: what needs it, for the message.

    Raises ValueError when the package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if error.name != package:
            raise
        raise ValueError(f"{function} needs {package}: pip install 'scratchformer[pretrained]'") from None
