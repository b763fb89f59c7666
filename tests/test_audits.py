"""Functions of other libraries whose verdict theory knows; skipped where the library is not there.

``make test-audit`` installs libraries and runs them.
"""

from importlib.metadata import distributions
from io import StringIO

import pytest

from pgbench.trials.audit.adapters import adapters
from pgbench.trials.examination import examine
from pgbench.trials.wording.conclusion import conclusion

EVERY = {adapter.library: adapter for adapter in adapters()}

VERDICTS = {
    # Leave-one-out is unbiased (Kool, van Hoof & Welling 2019).
    "trl.rloo": "equals rloo",
    "verl.rloo": "equals rloo",
    "verl.rloo_vectorized": "equals rloo",
    # A mean over the batch's tokens is divided by their number, which is random.
    "verl.rloo_token_mean": "equals rloo, each estimate divided by the steps per trajectory",
    # Divided by deviations and lengths, and by lengths alone (Shao et al. 2024; Liu et al. 2025).
    "trl.grpo": "equals grpo in",
    "verl.grpo": "equals grpo in",
    "trl.grpo_unscaled": "equals grpo[std=false]",
    # The baseline of least variance, made of the group itself (Hao et al. 2025).
    "verl.opo": "equals opo",
    # A divergence taken off rewards has the gradient of J less the divergence.
    "trl.rloo_divergence": "equals rloo",
    "verl.kl_in_reward": "equals rloo",
}
"""What each is, by what its adapter declares of it."""


# What libraries warn of is theirs.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", VERDICTS)
def test_a_function_is_what_theory_says(name):
    library, _, function = name.partition(".")
    adapter = EVERY[library]
    if adapter.version is None:
        pytest.skip(f"{adapter.distribution} is not installed: make test-audit")
    found = examine(adapter.path, function, 100, notices=StringIO())
    assert found.passed
    assert VERDICTS[name] in conclusion(found)


def test_there_are_eighty_functions_or_more_and_none_twice():
    names = [f"{a.library}.{f.name}" for a in EVERY.values() for f in a.functions]
    assert len(names) == len(set(names)) >= 80
    assert set(VERDICTS) <= set(names)


@pytest.mark.parametrize("library", EVERY)
def test_an_adapter_is_called_after_what_it_is_for(library):
    """Its distribution has a name of its own, and its functions are judged by what they claim."""
    adapter = EVERY[library]
    assert adapter.distribution
    installed = {d.name.lower().replace("_", "-") for d in distributions()}
    assert (adapter.version is not None) == (adapter.distribution.lower() in installed)
