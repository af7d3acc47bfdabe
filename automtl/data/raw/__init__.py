"""A user's files as batches of columns."""
