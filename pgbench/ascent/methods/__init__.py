"""Algorithms of ascent: each a small file holding a record; see ``pgbench.ascent.algorithm``."""
