"""Transformers trained in NumPy, with gradients that a person derived by hand."""

__version__ = "0.3.0"
