"""How derivatives are measured without a backward pass."""
