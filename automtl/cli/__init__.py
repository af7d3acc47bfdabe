"""The command line: one small file per command; it parses and prints, and does nothing else."""
