"""A search's material in memory, and a whole search: those of `automtl.testing`."""

from automtl.testing.small import material, rows_of
from automtl.testing.strategies import FAST, search

__all__ = ["FAST", "material", "rows_of", "search"]
