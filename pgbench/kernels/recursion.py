"""An estimator's recursion, one step of one trajectory: see ``pgbench.process.tables``.

    x_t = σ_t + κ_t x_{t+1},   D_{t+1} = δ_t D_t,   W(s_t,a_t) += D_t (x_t - β_t)

Plain functions of numbers that import nothing: the reference calls them, ``crowd`` and
``cuda.finite`` compile them. Rollouts on a CPU do the same for all lanes at once.
"""


def backward(sigma, kappa, following):
    """x_t, from x_{t+1}."""
    return sigma + kappa * following


def forward(total, carry, x, beta, delta):
    """What step t adds, and D_{t+1}, from D_t.

    In the total shape x and β are those of the first step, and D stays 1.
    """
    return carry * (x - beta), carry if total else carry * delta
