"""Run directories: everything a run knows, in files that a person can read."""
