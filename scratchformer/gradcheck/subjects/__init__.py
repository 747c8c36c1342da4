"""What is tested: ops, layers, and pairs of a function and its gradient, all in the form of a `Subject`."""
