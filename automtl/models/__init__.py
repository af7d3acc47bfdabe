"""Whole networks: the supernet and derived models on one skeleton, and what they cost."""
