"""The drivers: they join data, networks, loops and run directories, and are what commands and
Python users call.
"""
