"""How fast a training step is, beside PyTorch's."""
