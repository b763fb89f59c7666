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
# # GAE's λ, from question to figure
#
# Generalised advantage estimation sums TD errors with a decay γλ (Schulman, Moritz, Levine, Jordan & Abbeel
# 2016). With λ = 0 the critic is trusted for everything after one step, with λ = 1 for nothing but a baseline.
# The textbook says that λ trades bias for variance. Which λ is best, then, and what does that hang on?
#
# Here the question is answered with numbers that are exact where they can be: the bias and the variance of an
# estimate need no sampling, and the samples check them.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pgbench as pg

# %% [markdown]
# ## The experiment
#
# The critic must be wrong for the question to make sense: with an exact one, every λ is unbiased and λ = 0 has the
# least variance. `critic_noise` is the size of its error, over that of V. A grid is a mapping in which every list
# is an axis.

# %%
grid = {
    "name": "gae",
    "problems": [
        {"problem": "garnet", "n_states": 30, "gamma": 0.95, "instances": 3},
        {"problem": "riverswim"},
    ],
    "estimators": [
        {
            "estimator": "gae",
            "lam": [0, 0.3, 0.6, 0.8, 0.9, 0.95, 1],
            "critic_noise": [0, 0.1, 0.5],
        },
    ],
    "batch_sizes": [1, 16, 256],
    "replicates": 100,
}
tree = pg.run(grid, output="results")
summary = tree.to_dataset()
summary.sizes

# %% [markdown]
# ## Bias against λ
#
# λ and the critic's error are coordinates of the axis `estimator`, so nothing has to be taken out of labels.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
for noise in (0.1, 0.5):
    own = summary.sel(estimator=summary.critic_noise == noise, batch_size=1).isel(policy=0)
    for name, ax in zip(("exact_relative_bias", "exact_relative_variance"), axes, strict=True):
        mean = np.exp(np.log(own[name]).mean("problem"))  # geometric, over problems
        mean.plot(x="lam", ax=ax, marker="o", label=f"critic_noise = {noise}")
        ax.set(yscale="log", title=name.replace("_", " "), xlabel="λ")
axes[0].legend()
plt.show()

# %% [markdown]
# The bias falls with λ, and is least at λ = 1, where only what lies beyond the horizon is bootstrapped. The
# variance of one trajectory falls a little up to λ = 0.8 and rises beyond: with a critic that errs, most of it comes
# from the error itself, which every step of a short sum adds anew.
#
# ## Error against λ
#
# What matters is the error of what one would use: of an average over a batch. Bias does not shrink with the
# batch, the deviation falls like its root. So the best λ should grow with the batch.

# %%
noisy = summary.sel(estimator=summary.critic_noise == 0.5).isel(policy=0)
rmse = np.exp(np.log(noisy.exact_rmse / noisy.target_norm).mean("problem"))
figure, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
for n in summary.batch_size.values:
    rmse.sel(batch_size=n).plot(x="lam", ax=ax, marker="o", label=f"n = {n}")
ax.set(yscale="log", xlabel="λ", ylabel="error over ‖∇J‖", title="critic_noise = 0.5")
ax.legend()
plt.show()
best = {
    int(n): float(noisy.lam[rmse.sel(batch_size=n).argmin("estimator")]) for n in rmse.batch_size
}
best

# %% [markdown]
# ## Is it true?
#
# The curves above are exact. The same cells were sampled, 100 estimates each; the mean of every one is held
# against its exact expectation, and the p-values are corrected over all cells.

# %%
float(summary.code_test_p_holm.min()), float(summary.variance_test_p_holm.min())

# %% [markdown]
# And the figure that the report draws of any sweep, for all problems at once:

# %%
pg.plot.sweeps(tree)
