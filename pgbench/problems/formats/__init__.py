"""Formats of other tools: what a file or arrays in one of them say, as slots and starts.

A file per format; ``pgbench.problems`` has the family that reads it.
"""
