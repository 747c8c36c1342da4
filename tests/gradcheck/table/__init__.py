"""A table of functions, regimes of inputs and mistakes that the checker is measured by; `run.py` says how."""
