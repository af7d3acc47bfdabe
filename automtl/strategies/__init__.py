"""Search strategies: how the choices of a space are weighed, and how an architecture is derived
from the weights.
"""
