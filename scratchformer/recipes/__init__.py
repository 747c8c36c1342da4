"""The frame of an experiment, and the options, models and trainings that several experiments share."""
