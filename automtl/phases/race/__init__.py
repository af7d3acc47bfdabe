"""The race: candidates of a search trained alone by successive halving, and what that decides."""
