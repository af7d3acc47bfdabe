"""An architecture searched, derived and written down."""

from automtl.phases.search.start import resumed, search

__all__ = ["resumed", "search"]
