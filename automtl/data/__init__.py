"""Data sets: what a YAML file says, the prepared store, and batches of it."""
