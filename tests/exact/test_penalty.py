"""What an objective takes off rewards, as a table."""

import numpy as np

from pgbench.exact.penalty import penalised
from tests.support.numbers import close
from tests.support.problems import ending

PI = np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])
REFERENCE = np.array([[0.5, 0.5], [0.3, 0.7], [0.9, 0.1]])


def test_the_log_ratio_is_zero_where_nothing_is_taken():
    found = penalised(ending(), PI, 0.5, REFERENCE)
    expected = [[np.log(0.4), np.log(1.6)], [np.log(1 / 0.3), 0.0], [0.0, 0.0]]
    close(found.log_ratio, expected)
    close(found.table, 0.5 * np.array(expected))


def test_what_is_paid_is_less_by_the_penalty():
    mdp = ending()
    found = penalised(mdp, PI, 0.5, REFERENCE)
    assert found.plain is mdp
    close(found.paying.reward, np.where(mdp.terminal[:, None, None], 0.0,
                                        mdp.reward - found.table[..., None]))  # fmt: skip
    close(found.paying.expected_reward, mdp.expected_reward - found.table)


def test_the_divergence_is_that_of_every_state():
    found = penalised(ending(), PI, 0.5, REFERENCE)
    expected = 0.2 * np.log(0.4) + 0.8 * np.log(1.6)
    close(found.divergence(PI), [expected, np.log(1 / 0.3), 0.0])
    entropy = penalised(ending(), PI, 0.5, np.ones((3, 2))).divergence(PI)
    close(entropy, [0.2 * np.log(0.2) + 0.8 * np.log(0.8), 0.0, 0.0])


def test_a_tiny_probability_has_a_finite_ratio():
    pi = np.array([[1e-300, 1.0], [0.5, 0.5], [0.5, 0.5]])
    reference = np.array([[1.0, 1e-300], [0.5, 0.5], [0.5, 0.5]])
    found = penalised(ending(), pi, 1.0, reference).log_ratio
    close(found[0], np.array([-1, 1]) * 300 * np.log(10))


def test_of_several_policies_each_has_its_own():
    mdp = ending()
    several = np.stack([PI, REFERENCE, PI[:, ::-1]])
    paid = mdp.paying(np.stack([mdp.reward, 2 * mdp.reward, 3 * mdp.reward]))
    for problem, factors in ((mdp, (1, 1, 1)), (paid, (1, 2, 3))):
        together = penalised(problem, several, 0.5, REFERENCE)
        assert together.paying.reward.shape == (3, *mdp.reward.shape)
        for r in range(3):
            alone = penalised(mdp.paying(factors[r] * mdp.reward), several[r], 0.5, REFERENCE)
            one = together.of(r)
            np.testing.assert_array_equal(one.log_ratio, alone.log_ratio)
            np.testing.assert_array_equal(one.paying.reward, alone.paying.reward)
            np.testing.assert_array_equal(together.paying.reward[r], alone.paying.reward)
        part = together.of(slice(1, 3))
        np.testing.assert_array_equal(part.paying.reward, together.paying.reward[1:])
