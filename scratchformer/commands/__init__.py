"""The commands of `python -m scratchformer`."""
