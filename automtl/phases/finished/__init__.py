"""Work on finished phases: evaluate, predict, compare, export, rank, pareto."""
