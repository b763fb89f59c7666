"""Benchmarks of pgbench's speed and memory over its history, for asv."""
