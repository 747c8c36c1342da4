"""Rounding errors in float32 beside PyTorch's."""
