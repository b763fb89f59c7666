"""Dynamics of the four problems are those of Gymnasium, step by step."""

import gymnasium
import numpy as np
import pytest

from pgbench.problems import acrobot, cartpole, mountain_car, pendulum

PENDULUM = pendulum.system(4)
CASES = {
    "CartPole-v1": cartpole.SYSTEM,
    "MountainCar-v0": mountain_car.SYSTEM,
    "Acrobot-v1": acrobot.SYSTEM,
    "Pendulum-v1": PENDULUM,
}


def random_states(system, m):
    """States (k, m) from a little beyond the box, where episodes end and limits are met."""
    rng = np.random.default_rng(0)
    return np.stack([rng.uniform(1.05 * a.low, 1.05 * a.high, m) for a in system.axes])


def one_step(environment, state, action):
    """What Gymnasium makes of a state (k,): the next one, reward, end and observation."""
    environment.reset()
    environment.unwrapped.state = state
    seen, reward, ended, _, _ = environment.step(action)
    return np.array(environment.unwrapped.state), reward, ended, seen


@pytest.mark.parametrize("id", CASES)
def test_a_step_is_that_of_gymnasium(id):
    system, environment = CASES[id], gymnasium.make(id, disable_env_checker=True)
    states = random_states(system, 150)
    ends = 0
    for a, applied in enumerate(system.actions):
        after = system.step(states, applied)
        reward, ended = system.reward(states, applied, after), system.over(after)
        for i, state in enumerate(states.T):
            action = np.array([applied]) if id == "Pendulum-v1" else a
            expected, paid, end, seen = one_step(environment, state, action)
            np.testing.assert_allclose(
                np.exp(1j * after[:, i]), np.exp(1j * expected), atol=1e-12, err_msg=str(state)
            )
            plain = [not axis.angle for axis in system.axes]
            np.testing.assert_allclose(after[plain, i], expected[plain], rtol=1e-12, atol=1e-14)
            assert reward[i] == pytest.approx(paid, rel=1e-12)
            assert ended[i] == end
            np.testing.assert_allclose(system.observe(after)[i], seen, rtol=1e-6, atol=1e-6)
        ends += ended.sum()
    assert (ends > 0) == (id != "Pendulum-v1")
    environment.close()


@pytest.mark.parametrize("id", CASES)
def test_episodes_start_where_gymnasium_starts_them(id):
    system, environment = CASES[id], gymnasium.make(id)
    environment.reset(seed=0)
    starts = []
    for _ in range(2000):
        environment.reset()
        starts.append(environment.unwrapped.state)
    low, high = np.transpose(system.start)
    slack = 1e-7 + 0.01 * (high - low)
    np.testing.assert_array_less(np.abs(np.min(starts, axis=0) - low), slack)
    np.testing.assert_array_less(np.abs(np.max(starts, axis=0) - high), slack)
    environment.close()


def test_a_repeated_action_is_held_until_the_end():
    """Left at 2.3 m with 3 m/s the cart leaves in two steps; in the middle it does not in three."""
    start = np.array([[2.3, 0.0], [3.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    after, reward, ended = cartpole.SYSTEM.repeated(start, 0, 3, 0.5)
    once = cartpole.step(start, -10.0)
    twice = cartpole.step(once, -10.0)
    np.testing.assert_array_equal(after[:, 0], twice[:, 0])
    np.testing.assert_array_equal(after[:, 1], cartpole.step(twice, -10.0)[:, 1])
    np.testing.assert_array_equal(reward, [1.5, 1.75])
    np.testing.assert_array_equal(ended, [True, False])


def test_what_never_ends_is_never_over():
    assert not PENDULUM.over(random_states(PENDULUM, 9)).any()
    _, reward, ended = PENDULUM.repeated(np.zeros((2, 1)), 0, 2, 0.5)
    assert not ended.any()
    assert reward < 0


def test_no_push_catches_a_pole_beyond_the_grid():
    """Upright, and as fast as the grid goes: it falls though it is pushed under all the way."""
    state = np.array([[0.0], [0.0], [0.0], [cartpole.SYSTEM.axes[3].high]])
    while state[3] > 0 and not cartpole.SYSTEM.over(state):
        state = cartpole.step(state, 10.0)
    assert cartpole.SYSTEM.over(state)


def test_the_line_of_the_acrobot_is_not_left_to_rounding():
    """Stretched out at 60° from upright it is on the line, which does not count as above it."""
    on = np.array([[2 * np.pi / 3], [0.0], [0.0], [0.0]])
    assert not acrobot.SYSTEM.over(on)
    on[0] += 1e-6
    assert acrobot.SYSTEM.over(on)
