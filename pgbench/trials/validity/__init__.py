"""How often our own intervals cover and our own tests raise a false alarm, by repetition.

``python -m pgbench.trials.validity`` repeats small cells, each many times on fresh trajectories,
and compares every interval and test with what is true: exact moments of the estimator where there
are any, else a long run of its own. Every interval that the exact variance guards is counted
without that guard as well.
"""
