"""An architecture searched, derived and written down."""

from automtl.phases.search.start import resumed, search
from automtl.phases.search.state import SearchResult

__all__ = ["SearchResult", "resumed", "search"]
