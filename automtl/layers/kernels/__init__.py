"""Fast operations on tensors; they know no module."""
