"""A file of users' estimators, right and deadly ones."""

OWN = '''
import os

from threadpoolctl import threadpool_info

from pgbench.estimators import TableEstimator, find_estimator


def ends(truth):
    """It ends its process."""
    os._exit(3)


def raises(truth):
    """It raises what nobody expects."""
    raise TypeError("no")


def counts_threads(truth):
    """It says how many threads linear algebra has."""
    pools = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    raise ValueError(sorted(pools))


def like_td(truth):
    """The twin of td."""
    return find_estimator("td").make(truth)


def record(function):
    return TableEstimator(
        name=function.__name__, tables=function, bias=lambda: (), formula="x", reference="y",
        alone="it need not",
    )


of_ends, of_raises, of_counts_threads, of_like_td = map(
    record, (ends, raises, counts_threads, like_td)
)
'''
