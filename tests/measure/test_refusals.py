"""Batch estimators that refuse a problem, or whose exact moments are too large for it."""

from dataclasses import replace

import pytest

from pgbench.estimators import Exact, estimators
from pgbench.exact.table_moments import TooLarge
from pgbench.measure.subject import make_subject
from pgbench.policies import NotApplicable
from tests.support.numbers import close


class Prepared:
    """What a subject needs of a setting."""

    def __init__(self, truth):
        self.truth, self.horizon = truth, 3


def failing(error):
    def moments(truth, horizon, batch_size):
        raise error

    return replace(estimators()["rloo"], moments=moments)


@pytest.mark.parametrize("problem", ["ending"])
@pytest.mark.parametrize("kind", ["softmax"])
def test_refusals_come_before_anything_is_drawn(truth):
    with pytest.raises(NotApplicable, match="no sense"):
        make_subject(Prepared(truth), failing(NotApplicable("no sense")), {})


@pytest.mark.parametrize("problem", ["ending"])
@pytest.mark.parametrize("kind", ["softmax"])
def test_what_is_too_large_is_not_known_but_the_declared_mean_is(truth):
    subject = make_subject(Prepared(truth), failing(TooLarge("too large")), {})
    found, known = subject.exact(4), estimators()["rloo"].exact(truth, 3, 4)
    assert isinstance(found, Exact)
    assert found.variance is None
    close(found.mean, known.mean, 1e-12)
