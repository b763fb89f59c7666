"""Units and spans: every replicate once, and units that no call and no thread moves."""

import numpy as np
import pytest

from pgbench.kernels.partition import partition, spans, use_threads
from pgbench.kernels.streams import LANES


@pytest.mark.parametrize("batch_size", [1, 3, 16, 40])
@pytest.mark.parametrize("n_replicates", [0, 1, 5, 16, 17, 1000])
def test_every_replicate_is_in_one_span_of_whole_units(n_replicates, batch_size):
    unit, bounds = partition(n_replicates, batch_size)
    assert unit == max(1, LANES // batch_size)
    assert bounds[0] == 0
    assert bounds[-1] == n_replicates
    assert (np.diff(bounds) >= (n_replicates > 0)).all()
    assert (bounds[:-1] % unit == 0).all()


def test_there_are_no_more_spans_than_threads_can_use():
    before = use_threads(None)
    try:
        use_threads(1)
        assert partition(10_000, 1).bounds.tolist() == [0, 10_000]
        use_threads(2)
        assert partition(10_000, 1).bounds.size == 9
        assert spans(3).tolist() == [0, 1, 2, 3]
        assert spans(3, worth=False).tolist() == [0, 3]
        assert spans(0).tolist() == [0, 0]
    finally:
        use_threads(before)


def test_replicates_apart_are_units_of_their_own():
    assert partition(7, 1, apart=True).unit == 1
