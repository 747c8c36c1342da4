"""Measurements of trained models, and of attention itself."""
