"""Softmax policies whose logits are a user's PyTorch module."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pgbench.policies.features import Inputs, input_table
from pgbench.policies.network import Network, Outputs, dimensions
from pgbench.policies.policy import Policy, PolicyKind
from pgbench.policies.user_module import FORM, OwnCode, content, objection, require
from pgbench.problems import FiniteMDP


def torch_policy(
    mdp: FiniteMDP, module: str | Callable[..., Any], inputs: str = "auto", **options: Any
) -> Network:
    """π(s, ·) = softmax of a PyTorch module's outputs at the features of s.

    Parameters
    ----------
    mdp
        The problem.
    module
        A subclass of ``torch.nn.Module`` or a function that makes one, called as
        ``module(n_features, n_actions, **options)``, or where it is, such as ``"net.py:Net"``. It
        maps (states, n_features) to logits (states, n_actions). With features of pairs, the inputs
        ``own``, ``n_actions`` is 1: every pair has one logit.
    inputs
        Features of states, as of the policy ``neural``; by default coordinates, else one-hot.
    options
        Passed to the module.

    Returns
    -------
    Network
        θ holds all parameters that require a gradient, in the order of ``named_parameters``, each
        row by row, as float64 whatever the module makes them.

    Raises
    ------
    ValueError
        Where PyTorch or the file is missing, or the module makes anything but finite logits of
        float64, a row for each state that is the same every time.
    """
    table = input_table(mdp, inputs)
    n_outputs = 1 if table.ndim == 3 else mdp.n_actions
    outputs = torch_outputs(module, table.shape[-1], n_outputs, options)
    return Network(outputs, table, mdp.n_actions, mdp.allowed)


def torch_outputs(
    module: str | Callable[..., Any], n_features: int, n_outputs: int, options: Mapping[str, Any]
) -> Outputs:
    """What a PyTorch module makes of features, as a function of its parameters; see above."""
    require("torch")
    from pgbench.policies.autodiff.pytorch import TorchOutputs

    own = OwnCode.of(module)
    return TorchOutputs(own, lambda: own.thing(n_features, n_outputs, **options))


def from_file(
    mdp: FiniteMDP,
    module: Annotated[str, FORM, "Net(n_features, n_actions, **options), an nn.Module"],
    inputs: Inputs = "auto",
    options: Annotated[dict[str, Any] | None, "keywords for Net, e.g. {width: 64}"] = None,
) -> Policy:
    """Softmax of a PyTorch module of your own, in a file beside the grid's."""
    return torch_policy(mdp, module, inputs, **(options or {}))


kind = PolicyKind(
    "torch",
    from_file,
    formula=r"\pi(s,a) \propto \exp f_\theta(s)_a",
    reference="your own",
    dimensions=dimensions,
    paths=("module",),
    content=content,
    objection=lambda values: objection(values["module"], "torch"),
    library="torch",
)
