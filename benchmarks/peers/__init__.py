"""pgbench's rollout kernel beside the same algorithm in C and beside what people use.

``python -m benchmarks.peers`` builds, checks and times every contender that is installed.
"""
