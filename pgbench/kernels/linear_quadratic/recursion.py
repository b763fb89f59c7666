"""The recursion of an estimator, for all lanes of a tape at once.

Forms are added one after the other, and D x and D β are each rounded before they are subtracted.
"""

from pgbench.kernels.copying import copy_to
from pgbench.kernels.jit import part
from pgbench.kernels.linear_quadratic.tape import add, replay
from pgbench.kernels.streams import LANES


@part
def evaluate(forms, steps, tape):
    """Values of every form at every step and after the last."""
    p = forms.shape[1]
    row = tape.spare[0]
    for f in range(forms.shape[0]):
        form = forms[f]
        for t in range(steps + 1):
            z, out = tape.z[t], tape.values[f, t]
            out[:] = 0.0
            for i in range(p):
                used = False
                for j in range(i, p):
                    c = form[i, j]
                    if c != 0.0:
                        if not used:
                            row[:] = 0.0
                            used = True
                        add(row, c, z[j])
                if used:
                    for lane in range(LANES):
                        out[lane] += z[i, lane] * row[lane]


@part
def weigh_lanes(sampler, policy, tables, forms, e, tape):
    """Weights of estimator e of the simulated lanes, in ``tape.sums``."""
    n_segments = tape.marks.shape[0]
    tape.sums[:, :, :] = 0.0
    tape.edges[n_segments, :] = 0.0
    if n_segments > 1:
        for k in range(n_segments - 1, -1, -1):
            steps = replay(sampler, policy, k, tape)
            evaluate(forms, steps, tape)
            _signal(sampler, tables, e, k, steps, tape)
            copy_to(tape.edges[k], tape.x[0])
    for k in range(n_segments):
        steps = tape.horizon
        if n_segments > 1:
            steps = replay(sampler, policy, k, tape)
            evaluate(forms, steps, tape)
        _signal(sampler, tables, e, k, steps, tape)
        _add(tables, e, k, steps, tape)


@part
def _signal(sampler, tables, e, k, steps, tape):
    """y_t of the steps of segment k, from the one after them."""
    x, values, kappa = tape.x, tape.values, tables.kappa[e]
    sigma, after = tables.sigma[e], tables.after[e]
    copy_to(x[steps], tape.edges[k + 1])
    for t in range(steps - 1, -1, -1):
        here, later, ratio = x[t], x[t + 1], tape.ratio[t]
        for lane in range(LANES):
            here[lane] = kappa * later[lane]
        if sigma >= 0:
            add(here, 1.0, values[sigma, t])
        if after >= 0:
            add(here, 1.0, values[after, t + 1])
        if sampler.weighed:
            for lane in range(LANES):
                here[lane] *= ratio[lane]


@part
def _add(tables, e, k, steps, tape):
    """Add the steps of segment k to the sums."""
    x, values, weight, carry = tape.x, tape.values, tape.spare[0], tape.carry
    delta, beta, total = tables.delta[e], tables.beta[e], tables.total[e]
    if k == 0:
        carry[:] = 1.0
        if total:
            copy_to(carry, x[0])
            if beta >= 0:
                add(carry, -1.0, values[beta, 0])
    for t in range(steps):
        if total:
            copy_to(weight, carry)
        else:
            for lane in range(LANES):
                weight[lane] = carry[lane] * x[t, lane]
            if beta >= 0:
                for lane in range(LANES):
                    weight[lane] -= carry[lane] * values[beta, t, lane]
            for lane in range(LANES):
                carry[lane] *= delta * tape.ratio[t, lane]
        _add_step(tape, t, weight)


@part
def _add_step(tape, t, weight):
    """Add weight (LANES,) times (e, 1)(x̃, e)ᵀ of step t to the sums."""
    z, e, sums, left = tape.z[t], tape.e[t], tape.sums, tape.spare[1]
    m, p = e.shape[0], z.shape[0]
    for i in range(m + 1):
        for lane in range(LANES):
            left[lane] = weight[lane] * e[i, lane] if i < m else weight[lane]
        for j in range(p):
            right = z[j] if j < p - m else e[j - (p - m)]
            total = sums[i, j]
            for lane in range(LANES):
                total[lane] += left[lane] * right[lane]
