"""Tables and pictures of runs and architectures."""
