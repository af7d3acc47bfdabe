"""What makes them fast; knows tensors only."""
