"""What weights in fewer bits cost."""
