"""The least time to a validation loss, as `python -m experiments.speedrun` measures it."""
