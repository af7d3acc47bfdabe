"""Raw rows -> a store: digest, fit, split, encode, write."""

from automtl.data.prepare._prepare import placed, prepare, prepared

__all__ = ["placed", "prepare", "prepared"]
