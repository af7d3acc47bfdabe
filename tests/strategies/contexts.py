"""A search's context in memory, and a whole search: those of `automtl.testing`."""

from automtl.testing.small import rows_of, small_context
from automtl.testing.strategies import FAST, search

__all__ = ["FAST", "rows_of", "search", "small_context"]
