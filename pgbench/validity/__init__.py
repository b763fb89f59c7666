"""How often our own intervals cover and our own tests raise a false alarm, by repetition.

``python -m pgbench.validity`` repeats small cells, each many times on fresh trajectories, and
compares every interval and test with the exact truth: mean and variance of the estimator from its
exact moments, the number of steps from ``exact.horizon``. What has no closed form, as mean cosine,
ascent probability and the variance of some estimators, is taken from a separate run of 200 000
replicates.
"""
