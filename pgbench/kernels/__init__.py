"""Compiled kernels: random streams, alias tables, rollouts, running sums; and a reference.

Only this package imports numba, and it needs nothing else but numpy. ``jit`` says how kernels are
compiled, ``keeping`` where compiled code is kept.
"""
