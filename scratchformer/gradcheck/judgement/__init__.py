"""What a measured difference means, and how it is reported."""
