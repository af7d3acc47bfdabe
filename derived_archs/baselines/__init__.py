"""Hand-made models as template architectures: one JSON file each, with its source."""
