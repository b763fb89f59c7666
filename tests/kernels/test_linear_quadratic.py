"""Rollouts of Gaussian policies: the documented streams, weights, and nothing of the schedule."""

import numpy as np
import pytest
from numba import get_num_threads, set_num_threads

from pgbench.estimators import make_tables
from pgbench.exact import evaluate
from pgbench.kernels import reference
from pgbench.kernels.linear_quadratic import compact, record, tape, weigh
from pgbench.kernels.normal import from_words
from pgbench.kernels.streams import Streams
from pgbench.policies import make_policy
from pgbench.policies.law import Law
from pgbench.problems import make_problem
from pgbench.process.batch import QuadraticBatch
from pgbench.process.process import GaussianProcess
from tests.support.linear_quadratic import by_definition

H = 5


@pytest.fixture(params=["scalar", "vector"])
def truth(request):
    mdp = (
        make_problem("lqg", A=0.9, B=1.2, start_mean=0.4)
        if request.param == "scalar"
        else make_problem("lqg_random", n=3, m=2, seed=4)
    )
    policy = make_policy("gaussian", mdp, mean="affine", covariance="full")
    theta = policy.initial(seed=1, scale=0.3)
    return evaluate(mdp, policy, theta)


def recorded(process, n, replicates, first=0, stream=5, group_size=1):
    """States, noise and ratios of replicates as the kernel records them."""
    mdp = process.mdp
    z = np.empty((replicates, n, H + 1, mdp.n + 1 + mdp.m))
    e, ratio = np.empty((replicates, n, H, mdp.m)), np.empty((replicates, n, H))
    streams = Streams(np.uint64(7), np.uint64(stream), n, group_size)
    record(process.sampler, streams, first, z, e, ratio)
    return QuadraticBatch(process, z, e, ratio)


def weighed(tables, n, replicates, first=0, stream=5):
    """Weights of replicates."""
    process = tables[0].process
    visited, n_visited = np.empty((replicates, process.rows), np.int32), np.empty(replicates, int)
    out = np.empty((replicates, len(tables), process.rows, process.columns))
    steps = np.empty(replicates, int)
    streams = Streams(np.uint64(7), np.uint64(stream), n)
    arrays = visited, n_visited, out, steps
    weigh(process.sampler, compact(tables), streams, first, H, *arrays)
    assert (visited == np.arange(process.rows)).all()
    assert (n_visited == process.rows).all()
    assert (steps == H * n).all()
    return out


@pytest.mark.parametrize(("n", "group_size"), [(4, 2), (40, 20)])
def test_a_group_has_the_start_of_its_first_and_nothing_else(truth, n, group_size):
    alone = recorded(truth.process, n, 3, first=16)
    batch = recorded(truth.process, n, 3, first=16, group_size=group_size)
    own = alone.states[:, ::group_size, 0]
    np.testing.assert_array_equal(batch.states[:, :, 0], np.repeat(own, group_size, axis=1))
    np.testing.assert_array_equal(batch.noise, alone.noise)
    np.testing.assert_array_equal(batch.states[:, ::group_size], alone.states[:, ::group_size])


@pytest.mark.parametrize("n", [1, 3, 20])
def test_trajectories_are_those_of_the_documented_streams(truth, n):
    """One word per number: the start, then action and process noise of every step."""
    mdp, law = truth.mdp, truth.pi
    batch = recorded(truth.process, n, 2, first=16)
    for r in range(2):
        for i in (0, n - 1):
            state = list(reference.philox4x64((i, 16 + r, n, 0), (7, 5)))
            count = mdp.n + H * (mdp.m + mdp.noise_factor.shape[1])
            words = [reference.xoshiro256pp(state) for _ in range(count)]
            numbers = from_words(np.array(words, np.uint64))
            x = mdp.start_mean + mdp.start_factor @ numbers[: mdp.n]
            rest = numbers[mdp.n :].reshape(H, -1)
            for t in range(H):
                e = law.factor @ rest[t, : mdp.m]
                u = law.gain @ np.append(x, 1.0) + e
                np.testing.assert_allclose(batch.states[r, i, t], x, rtol=1e-12, atol=1e-13)
                np.testing.assert_allclose(batch.actions[r, i, t], u, rtol=1e-12, atol=1e-13)
                np.testing.assert_allclose(batch.noise[r, i, t], e, rtol=1e-12, atol=1e-13)
                x = mdp.A @ x + mdp.B @ u + mdp.noise_factor @ rest[t, mdp.m :]


@pytest.mark.parametrize("n", [1, 5, 16, 21])
def test_weights_are_those_of_the_definition(truth, n):
    names = {"reinforce": {"baseline": -3.0}, "reward_to_go": {}, "baseline_value": {},
             "q_oracle": {}, "td": {"discounted": False}, "gae": {"lam": 0.7}}  # fmt: skip
    tables = [make_tables(truth, name, H, **given) for name, given in names.items()]
    found = weighed(tables, n, 18)
    batch = recorded(truth.process, n, 18)
    for e, forms in enumerate(tables):
        expected = by_definition(forms, batch, truth).mean(axis=1)
        own = truth.policy.pull_back(truth.theta, found[:, e])
        np.testing.assert_allclose(own, expected, atol=1e-11 * np.abs(expected).max())


def test_ratios_are_those_of_the_densities(truth):
    forms = make_tables(truth, "importance_sampling", H, exploration=0.4)
    batch = recorded(forms.process, 4, 16)
    law, own = forms.process.pi, truth.pi
    logs = []
    for S in (own.covariance, law.covariance):
        square = np.einsum("...i,ij,...j", batch.noise, np.linalg.inv(S), batch.noise)
        logs.append(-0.5 * (square + np.linalg.slogdet(S)[1]))
    np.testing.assert_allclose(batch.ratios, np.exp(logs[0] - logs[1]), rtol=1e-11)
    expected = by_definition(forms, batch, truth).mean(axis=1)
    found = truth.policy.pull_back(truth.theta, weighed([forms], 4, 16)[:, 0])
    np.testing.assert_allclose(found, expected, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("n", [1, 3, 40])
def test_nothing_depends_on_threads_or_on_how_replicates_are_cut(truth, n):
    tables = [make_tables(truth, name, H) for name in ("reinforce", "baseline_value")]
    whole = weighed(tables, n, 48)
    threads = get_num_threads()
    try:
        set_num_threads(1)
        alone = weighed(tables, n, 48)
    finally:
        set_num_threads(threads)
    np.testing.assert_array_equal(whole, alone)
    parts = [weighed(tables, n, 16, first=16 * i) for i in range(3)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    np.testing.assert_array_equal(whole[:, 1:], weighed(tables[1:], n, 48))


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("n", [1, 5, 20])
def test_segments_do_not_change_a_byte(truth, n, steps, monkeypatch):
    """Trajectories that are longer than what is recorded at a time, with ratios and without."""
    names = {"reinforce": {"baseline": -3.0}, "baseline_value": {}, "gae": {"lam": 0.7}}
    together = [make_tables(truth, name, H, **given) for name, given in names.items()]
    apart = [make_tables(truth, "importance_sampling", H, exploration=0.4)]
    process = apart[0].process

    def made():
        batch = recorded(process, n, 18)
        return weighed(together, n, 18), weighed(apart, n, 18), batch.z, batch.noise, batch.ratios

    whole = made()
    monkeypatch.setattr(tape, "TAPE_BYTES", 0)
    monkeypatch.setattr(tape, "SHORTEST", steps)
    for one, other in zip(whole, made(), strict=True):
        assert one.tobytes() == other.tobytes()


def test_streams_differ(truth):
    forms = [make_tables(truth, "reward_to_go", H)]
    assert (weighed(forms, 2, 16) != weighed(forms, 2, 16, stream=6)).any()


@pytest.mark.parametrize("n", [2, 30])
def test_policies_at_once_are_each_of_them(truth, n):
    """Replicate r of many policies is replicate r of policy r alone, bit for bit."""
    policy = truth.policy
    thetas = np.stack([policy.initial(seed=s, scale=0.2) for s in range(4)])
    alone = [evaluate(truth.mdp, policy, theta) for theta in thetas]
    law = Law(np.stack([t.pi.gain for t in alone]), np.stack([t.pi.covariance for t in alone]))
    several = [make_tables(t, "baseline_value", H) for t in alone]
    from pgbench.problems.quadratic import Quadratic
    from pgbench.process.tables import Tables

    process = GaussianProcess(truth.mdp, law, law)
    v = Quadratic(np.stack([t.beta.matrix for t in several]), truth.mdp.n)
    gamma = truth.mdp.gamma
    together = Tables.build(process, sigma=truth.mdp.reward, kappa=gamma, beta=v, delta=gamma)
    found = weighed([together], n, 4)
    for r in range(4):
        np.testing.assert_array_equal(found[r], weighed([several[r]], n, 4)[r])
