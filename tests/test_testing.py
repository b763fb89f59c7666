"""Assertions that a function is what it claims, with the verdict as message."""

import pytest

from pgbench.declared.claims import claims_of
from pgbench.testing import assert_unbiased

SEQUENCES = {"battery": "sequences", "replicates": 100}


def right(batch):
    to_go = batch.rewards[:, ::-1].cumsum(axis=1)[:, ::-1]
    return batch.pull_back(to_go) / len(batch.mask)


def in_sample(batch):
    returns = batch.rewards.sum(axis=1).reshape(-1, batch.group_size)
    advantages = (returns - returns.mean(axis=1, keepdims=True)).ravel()
    return batch.pull_back(advantages[:, None] * batch.mask) / len(batch.mask)


def test_what_is_right_passes_and_what_is_wrong_says_the_verdict():
    assert_unbiased(right, **SEQUENCES)
    with pytest.raises(AssertionError, match=r"(?s)\(1 - 1/G\) times ∇J_H.*in_sample_baseline"):
        assert_unbiased(in_sample, **SEQUENCES)


def test_claims_are_taken_and_leave_the_function_as_it_was():
    assert_unbiased(in_sample, accepts={"in_sample_baseline"}, **SEQUENCES)
    assert claims_of(in_sample) == claims_of(right)
    with pytest.raises(ValueError, match="accepts holds 'sample'"):
        assert_unbiased(in_sample, accepts={"sample"}, **SEQUENCES)
