"""Training data on disk: read by index, never as a whole."""
