"""What a layer prints of itself: its size, its options, and how many parameters each of its parts has."""

from dataclasses import fields, is_dataclass
from typing import Any

from scratchformer.layers.parameter import Parameter


def describe_parts(layer: Any, parameters: dict[str, Parameter]) -> str:
    """Lines to read: the name of the layer, its number of parameters and dtype, its sizes and the options that are not
    as they are by default, and a line for each part.

    Equal parts of a list stand in one line. A parameter that is used twice counts in the first part that has it.
    """
    sizes: dict[str, list[int]] = {}
    for name, parameter in parameters.items():
        part, _, rest = name.partition(".")
        index = int(first) if (first := rest.partition(".")[0]).isdigit() else 0
        of_part = sizes.setdefault(part, [])
        of_part += [0] * (index + 1 - len(of_part))
        of_part[index] += parameter.value.size
    total = sum(parameter.value.size for parameter in parameters.values())
    dtypes = " and ".join(sorted({parameter.value.dtype.name for parameter in parameters.values()}))
    lines = [f"{type(layer).__name__}: {total:,} parameters" + (f", {dtypes}" if dtypes else "")]
    config = getattr(layer, "config", None)
    if is_dataclass(config):
        chosen = [field.name for field in fields(config) if getattr(config, field.name) != field.default]
        lines.append("  " + ", ".join(f"{name}={getattr(config, name)!r}" for name in chosen))
    width = max(map(len, sizes), default=0)
    digits = len(f"{total:,}")
    lines += [f"  {part:<{width}}  {sum(own):>{digits},}{_times(own)}" for part, own in sizes.items()]
    return "\n".join(lines)


def _times(sizes: list[int]) -> str:
    if len(sizes) == 1:
        return ""
    return f"  {len(sizes)} x {sizes[0]:,}" if len(set(sizes)) == 1 else f"  {len(sizes)} of them"
