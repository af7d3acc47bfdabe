"""What is done with finished phases: evaluate, predict, compare, export, rank, pareto."""
