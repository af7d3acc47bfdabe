"""The prepared rows on disk, and batches of them; opening them needs nothing of preparing them."""

from automtl.data.store._store import Rows, Store

__all__ = ["Rows", "Store"]
