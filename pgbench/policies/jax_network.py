"""Softmax policies whose logits are a user's function in JAX."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pgbench.policies.features import Inputs, input_table
from pgbench.policies.network import Network, Outputs, dimensions
from pgbench.policies.policy import Policy, PolicyKind
from pgbench.policies.user_module import (
    FORM,
    OwnCode,
    UserModuleError,
    content,
    objection,
    require,
)
from pgbench.problems import FiniteMDP


def jax_policy(mdp: FiniteMDP, module: Any, inputs: str = "auto", **options: Any) -> Network:
    """π(s, ·) = softmax of a JAX function's outputs at the features of s.

    Parameters
    ----------
    mdp
        The problem.
    module
        What has ``init(key, n_features, n_actions)``, which makes a pytree of parameters, and
        ``apply(parameters, features)``, which maps features (states, n_features) to logits (states,
        n_actions); or a tuple of these two, or a class or function of ``options`` that makes
        either; or where it is, such as ``"net.py:net"``. With features of pairs, inputs ``own``,
        ``n_actions`` is 1: every pair has one logit.
    inputs
        Features of states, as of the policy ``neural``; by default coordinates, else one-hot.
    options
        Passed to the function that makes the pair.

    Returns
    -------
    Network
        θ holds all leaves of floating point in the order of ``jax.tree.leaves``, each row by row,
        as float64 whatever ``init`` makes them.

    Raises
    ------
    ValueError
        Where JAX or the file is missing, or the function makes anything but finite logits of
        float64, a row for each state that is the same every time.
    """
    table = input_table(mdp, inputs)
    n_outputs = 1 if table.ndim == 3 else mdp.n_actions
    outputs = jax_outputs(module, table.shape[-1], n_outputs, options)
    return Network(outputs, table, mdp.n_actions, mdp.allowed)


def jax_outputs(
    module: Any, n_features: int, n_outputs: int, options: Mapping[str, Any]
) -> Outputs:
    """What a JAX function makes of features, as a function of its parameters; see above."""
    require("jax")
    from pgbench.policies.autodiff.jax import JaxOutputs

    own = OwnCode.of(module)
    init, apply = _pair(own, options)
    return JaxOutputs(own, lambda key: init(key, n_features, n_outputs), apply)


def _pair(own: OwnCode, options: Mapping[str, Any]) -> tuple[Callable[..., Any], ...]:
    """init and apply of what a user wrote, or of what that makes of options."""
    made = own.thing
    if options or isinstance(made, type) or not (isinstance(made, tuple) or hasattr(made, "init")):
        made = own.call("calling it", lambda: own.thing(**options))
    if not isinstance(made, tuple):
        made = tuple(getattr(made, name, None) for name in ("init", "apply"))
    if len(made) != 2 or not all(map(callable, made)):
        raise UserModuleError(
            f"{own.words} is a {type(own.thing).__name__} without functions init and apply, and"
            " makes none"
        )
    return made


def from_file(
    mdp: FiniteMDP,
    module: Annotated[str, FORM, "what has init(key, n_features, n_actions) and apply(θ, x)"],
    inputs: Inputs = "auto",
    options: Annotated[dict[str, Any] | None, "keywords, if a function makes the pair"] = None,
) -> Policy:
    """Softmax of a JAX function of your own, in a file beside the grid's."""
    return jax_policy(mdp, module, inputs, **(options or {}))


kind = PolicyKind(
    "jax",
    from_file,
    formula=r"\pi(s,a) \propto \exp f_\theta(s)_a",
    reference="your own",
    dimensions=dimensions,
    paths=("module",),
    content=content,
    objection=lambda values: objection(values["module"], "jax"),
    library="jax",
)
