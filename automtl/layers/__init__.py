"""Input layer, interactions, operations, choice blocks, gates, towers."""
