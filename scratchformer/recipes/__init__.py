"""What several experiments train alike: options, models, trainers, comparisons of runs."""
