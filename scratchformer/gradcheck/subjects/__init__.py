"""What is tested: ops, layers and pairs of functions, in one form."""
