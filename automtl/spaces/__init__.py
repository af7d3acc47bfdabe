"""Search spaces and architectures as data: frozen, comparable, hashable; no torch."""
