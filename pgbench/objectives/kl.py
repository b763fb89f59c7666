"""J less the divergence from a reference policy, as in fine-tuning of language models."""

from typing import Annotated

from pgbench.declared.parameters import Choice, Range
from pgbench.objectives.objective import Objective, ObjectiveKind, of_policy, uniform
from pgbench.policies import Policy
from pgbench.problems import FiniteMDP


def kl(
    mdp: FiniteMDP,
    policy: Policy,
    beta: Annotated[float, Range(0), "β, unit reward per nat"] = 0.1,
    reference: Annotated[
        str,
        Choice(("initial", "uniform")),
        "π_ref: initial is another θ of the class, drawn as θ_0 are; uniform is over actions",
    ] = "initial",
    scale: Annotated[float, Range(0), "scale of the reference's θ"] = 1.0,
    seed: Annotated[int, Range(0), "seed of the reference's θ"] = 0,
) -> Objective:
    """J less β times the divergence KL(π ‖ π_ref) of every visited state, discounted as rewards.

    For γ = 1 and deterministic transitions that is the divergence of whole sequences.
    """
    if reference == "uniform":
        return Objective(mdp, policy, beta, uniform(mdp))
    theta = policy.initial(seed=seed, scale=scale)
    return Objective(mdp, policy, beta, of_policy(mdp, policy, theta))


kind = ObjectiveKind(
    "kl",
    kl,
    formula=r"J(\theta) - \beta\,E\sum_t \gamma^t \log(\pi/\pi_{ref})(s_t,a_t)",
    reference="Todorov 2006; Jaques et al. 2017; Ziegler et al. 2019, eq. 2",
)
