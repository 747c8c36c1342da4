"""What is measured of a trained model, and of attention itself."""
