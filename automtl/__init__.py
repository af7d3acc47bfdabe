"""Neural architecture search for multi-task recommenders."""
