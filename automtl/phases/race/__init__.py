"""The race: candidates of a search trained alone, and what that decides."""
