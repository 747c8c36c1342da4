"""What a backward pass promises besides the right values."""
