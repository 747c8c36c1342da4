"""What the measured derivatives say of a gradient, and how that is reported."""
