"""Searches an architecture, derives it and writes it down."""

from automtl.phases.search._start import search
from automtl.phases.search.resume import resumed
from automtl.phases.search.state import SearchResult

__all__ = ["SearchResult", "resumed", "search"]
