"""What messages cost on this machine, and what that says of steps of up to a thousand ranks."""
