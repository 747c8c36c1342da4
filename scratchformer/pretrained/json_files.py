"""JSON from files that nobody vouches for."""

import json
import math
from pathlib import Path
from typing import Any

from scratchformer.pretrained.tensors import map_file, shown

MOST_BYTES = 25_000_000
"""Of a JSON text that describes a model: a quarter of a million tensors. Python needs up to thirty times as much."""


def read_json(path: Path | str, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises ValueError for a file that cannot be read, is larger than `most_bytes`, or is not a JSON object in UTF-8. A
    name that comes twice in one object is refused, and so are NaN, infinity and numbers beyond float64.
    """
    text = _text(Path(path), most_bytes)
    return parse_json(text, str(path))


def read_json_list(path: Path | str) -> list[Any]:
    """The list that a JSON file holds. Raises as `read_json` does."""
    content = _parsed(_text(Path(path), MOST_BYTES), str(path))
    if not isinstance(content, list):
        raise ValueError(f"{path} is damaged: expected a JSON list, got a {type(content).__name__}")
    return content


def _text(path: Path, most_bytes: int) -> bytes:
    with map_file(path) as mapped:
        if len(mapped) > most_bytes:
            raise ValueError(f"{path} has {len(mapped):,} bytes, expected JSON of at most {most_bytes:,}")
        return mapped[:]


def parse_json(text: bytes, where: str) -> dict[str, Any]:
    """The object that a JSON text holds. `where` is its name in messages. Raises as `read_json` does."""
    content = _parsed(text, where)
    if not isinstance(content, dict):
        raise ValueError(f"{where} is damaged: expected a JSON object, got a {type(content).__name__}")
    return content


def _parsed(text: bytes, where: str) -> Any:
    try:
        return json.loads(
            text.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite
        )
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(f"{where} is damaged: expected UTF-8, got byte {byte:#04x} at offset {error.start}") from None
    except RecursionError:
        raise ValueError(f"{where} is damaged: its lists and objects lie too deep in each other") from None
    except ValueError as error:
        raise ValueError(f"{where} is damaged: expected JSON: {error}") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the name {shown(twice)} comes twice")
    return content


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"the number {digits[:40]} does not fit into float64")
    return value
