# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The lecture's figures
#
# A lecture on the policy gradient theorem shows a handful of pictures: forms of the gradient that agree, baselines
# that take variance away, gradients that vanish, steps that are steep in one metric and not in another. Here each is
# made with a few lines, small enough to run in seconds. The shipped grids hold the large versions.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pgbench as pg

# %% [markdown]
# ## Four forms of one gradient
#
# Total return, reward-to-go, Q and the advantage all have the same mean, and very different variances. On a random
# problem of 20 states the exact mean and variance of one trajectory of 200 steps; what lies beyond weighs γ²⁰⁰ = 4·10⁻⁵,
# which is all the bias there is:

# %%
mdp = pg.make_problem("garnet", n_states=20, n_actions=4, branching=3, gamma=0.95, seed=0)
policy = pg.make_policy("softmax", mdp)
theta = policy.initial(seed=0)
truth = pg.exact.evaluate(mdp, policy, theta)
norm = np.linalg.norm(truth.gradient)
forms = [
    "reinforce",
    "reward_to_go",
    "baseline_value",
    "q_oracle",
    "advantage_oracle",
    "all_action",
]
rows = {form: pg.moments(mdp, policy, theta, form, horizon=200) for form in forms}
for form, found in rows.items():
    off = np.linalg.norm(found.mean - truth.gradient) / norm
    print(f"{form:17s} bias {off:.1e}   variance {found.variance.sum() / norm**2:10.1f}")

# %%
figure, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
ax.barh(forms[::-1], [rows[form].variance.sum() / norm**2 for form in forms[::-1]], color="#0173b2")
ax.set(xscale="log", xlabel="variance of one trajectory over ‖∇J‖²")
plt.show()

# %% [markdown]
# ## Where an agent is: the visitation distribution
#
# RiverSwim under the uniform policy: the discounted visits of its states, and what V makes of them. The gradient
# weighs advantages with these visits, so what is rarely visited is slowly learned.

# %%
river = pg.make_problem("riverswim")
walk = pg.make_policy("softmax", river)
seen = pg.exact.evaluate(river, walk, walk.initial(init="zeros"))
figure, axes = plt.subplots(1, 2, figsize=(8, 2.6), layout="constrained")
axes[0].bar(range(river.n_states), seen.visitation)
axes[0].set(yscale="log", xlabel="state", ylabel="discounted visits")
axes[1].bar(range(river.n_states), seen.v)
axes[1].set(yscale="log", xlabel="state", ylabel="V")
plt.show()

# %% [markdown]
# ## Gradients that vanish
#
# On a chain whose reward lies at the far end the norm of ∇J falls exponentially with the length (Agarwal, Kakade,
# Lee & Mahajan 2021, Proposition 4.1). The natural gradient does not.

# %%
plain, natural, lengths = [], [], np.arange(4, 21, 4)
for length in lengths:
    chain = pg.make_problem("chain", length=int(length))
    softmax = pg.make_policy("softmax", chain)
    point = pg.exact.evaluate(chain, softmax, softmax.initial(init="zeros"))
    plain.append(np.linalg.norm(point.gradient))
    natural.append(np.linalg.norm(point.natural_gradient()))
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(lengths, plain, "o-", label="‖∇J‖")
ax.plot(lengths, natural, "s--", label="‖F†∇J‖")
ax.set(yscale="log", xlabel="length of the chain")
ax.legend()
plt.show()

# %% [markdown]
# ## Steepest in which metric? Plain and natural gradient on the linear-quadratic Gaussian example
#
# A Gaussian policy u ~ N(θ₁x, θ₂) on x' = x + u + noise. The plain gradient pulls the variance down long before the
# gain is right; the natural gradient, steepest in the metric of the Fisher information, goes straight for both.

# %%
lqg = {
    "name": "lqg",
    "problems": [{"problem": "lqg", "gamma": 0.95}],
    "policies": [
        {"policy": "gaussian", "gain": -0.3, "variance": [0.3, 1.0], "floor": 0.001},
        {"policy": "gaussian", "gain": -1.0, "variance": 0.4, "floor": 0.001},
    ],
    "theta": {"init": "zeros"},
    "ascent": {
        "steps": 300,
        "points": 40,
        "replicates": 2,
        "algorithms": [
            {"algorithm": "gradient", "estimators": "exact", "step_sizes": 0.0002},
            {"algorithm": "natural", "estimators": "exact", "step_sizes": 0.001},
        ],
    },
}
climbed = pg.run(lqg, output="results")
pg.plot.landscape(climbed)

# %% [markdown]
# ## A plateau, and the way off it
#
# The two-state problem of Kakade (2001) and Bagnell & Schneider (2003): the plain gradient has next to no visits of
# the state that matters, and waits; the natural gradient does not notice.

# %%
plateau = {
    "name": "plateau",
    "problems": {"problem": "two_state", "gamma": 0.95},
    "theta": {"values": [2.0, -2.0, -2.0, 2.0]},  # mostly stay in state 0, mostly leave state 1
    "ascent": {
        "steps": 5000,
        "points": 60,
        "estimators": "exact",
        "step_sizes": 0.05,
        "algorithms": ["gradient", "natural"],
    },
}
pg.plot.ascent_returns(pg.run(plateau, output="results"))
