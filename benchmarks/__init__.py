"""Shipped tables of trained architectures, read by `automtl.benchmarks.load`."""
