"""How fast a training step is, and how much memory it needs, beside PyTorch's."""
