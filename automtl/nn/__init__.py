"""Modules of the networks: input layer, interactions, operations, choice blocks, gates, towers;
they compute and nothing else.
"""
