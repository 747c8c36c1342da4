"""What a backward pass promises beside the right values."""
