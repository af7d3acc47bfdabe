"""The drivers of search, retrain and evaluation: they join data, networks, loops and run folders,
and are what commands and Python users call.
"""
