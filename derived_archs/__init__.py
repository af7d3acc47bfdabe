"""Architectures that the package ships: those found by a search, promoted from their runs."""
