"""Modules of PyTorch: what θ is, what else of them stays, and what is refused."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="make test-autodiff installs it")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from pgbench.exact import evaluate  # noqa: E402
from pgbench.policies import make_policy  # noqa: E402
from pgbench.policies.torch_network import torch_policy  # noqa: E402
from pgbench.problems import make_problem  # noqa: E402
from tests.support.numbers import close, differentiate  # noqa: E402

MDP = make_problem("gridworld", size=3)


class Net(nn.Module):
    """Two layers; a batch norm, a frozen layer and a scale that is a buffer between them."""

    def __init__(self, n_features, n_actions, width=5):
        super().__init__()
        self.first = nn.Linear(n_features, width)
        self.norm = nn.BatchNorm1d(width)
        self.frozen = nn.Linear(width, width).requires_grad_(False)
        self.register_buffer("scale", torch.tensor(0.5))
        self.last = nn.Linear(width, n_actions, bias=False)

    def forward(self, x):
        return self.last(self.frozen(torch.tanh(self.norm(self.first(x)))) * self.scale)


class Tied(nn.Module):
    """One matrix used twice."""

    def __init__(self, n_features, n_actions):
        super().__init__()
        self.first = nn.Linear(n_features, n_actions)
        self.hidden, self.again = nn.Linear(n_actions, n_actions), nn.Linear(n_actions, n_actions)
        self.again.weight = self.hidden.weight

    def forward(self, x):
        return self.again(torch.tanh(self.hidden(self.first(x))))


def plain(n_features, n_actions):
    return nn.Sequential(nn.Linear(n_features, 3), nn.Tanh(), nn.Linear(3, n_actions))


def test_theta_holds_what_is_trained_in_order():
    policy = torch_policy(MDP, Net)
    assert [*policy.outputs.shapes] == [
        "first.weight",
        "first.bias",
        "norm.weight",
        "norm.bias",
        "last.weight",
    ]
    assert policy.n_parameters == 5 * 2 + 5 + 5 + 5 + 4 * 5


@pytest.mark.parametrize("make", [Net, Tied], ids=["frozen parts", "tied"])
def test_derivatives_of_what_is_trained(make):
    policy = torch_policy(MDP, make)
    theta = policy.initial(1, "own")
    jacobian = differentiate(lambda t: np.log(policy.probabilities(t)), theta, step=1e-3)
    np.testing.assert_allclose(policy.scores(theta), jacobian, rtol=0, atol=1e-9)


def test_options_are_passed():
    assert torch_policy(MDP, Net, width=7).n_parameters == 7 * 2 + 3 * 7 + 4 * 7


def test_its_own_start_is_the_modules_after_its_seed():
    policy = torch_policy(MDP, plain)
    torch.manual_seed(11)
    expected = nn.utils.parameters_to_vector(plain(2, 4).double().parameters())
    got = policy.initial(11, "own")
    # Drawn with double precision by default, which the policy does and this test does not.
    assert np.abs(got).max() <= 1 / np.sqrt(2)
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, policy.initial(11, "own"))
    assert not np.array_equal(got, policy.initial(12, "own"))


def test_a_module_that_is_made_already_keeps_its_parameters():
    net = plain(2, 4)
    policy = torch_policy(MDP, lambda n_features, n_actions: net)
    own = nn.utils.parameters_to_vector(net.parameters()).detach().numpy()
    np.testing.assert_array_equal(policy.initial(5, "own"), own.astype(np.float64))
    assert all(p.dtype == torch.float32 and p.requires_grad for p in net.parameters())
    x = torch.tensor(policy.inputs, dtype=torch.float32)
    expected = torch.softmax(net(x), dim=1).detach().numpy()
    np.testing.assert_allclose(policy.probabilities(policy.initial(0, "own")), expected, atol=1e-6)


def test_nothing_of_the_process_is_changed():
    torch.manual_seed(3)
    before = torch.get_rng_state(), torch.get_default_dtype(), torch.get_num_threads()
    torch.set_num_threads(2)
    policy = torch_policy(MDP, Net)
    truth = evaluate(MDP, policy, policy.initial(0, "own"))
    assert np.isfinite(truth.gradient).all()
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before[2])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_default_dtype() == before[1]
    assert torch.is_grad_enabled()


def test_gradients_are_there_within_no_grad():
    policy = torch_policy(MDP, plain)
    theta, W = policy.initial(0, "own"), np.ones((2, *policy.shape))
    W[:, :, 0] = 3
    with torch.no_grad():
        inside = policy.pull_back(theta, W), policy.push_forward(theta, theta)
    np.testing.assert_array_equal(inside[0], policy.pull_back(theta, W))
    np.testing.assert_array_equal(inside[1], policy.push_forward(theta, theta))
    assert np.abs(inside[0]).max() > 0


def test_a_state_dict_is_theta(tmp_path):
    net, path = plain(2, 4), tmp_path / "net.pt"
    torch.save(net.state_dict(), path)
    own = nn.utils.parameters_to_vector(net.parameters()).detach().numpy()
    np.testing.assert_array_equal(torch_policy(MDP, plain).read(path), own.astype(np.float64))


class Unsafe:
    """What a file of weights should not hold."""


def other_buffer():
    return {**Net(2, 4).state_dict(), "scale": torch.tensor(0.25)}


@pytest.mark.parametrize(
    ("make", "saved", "message"),
    [
        (
            plain,
            lambda: plain(3, 4).state_dict(),
            r"0\.weight has shape \(3, 3\), must be \(3, 2\)",
        ),
        (plain, lambda: {"0.weight": torch.ones(3, 2)}, "0.bias, 2.bias, 2.weight stands on one"),
        (plain, lambda: {"model": plain(2, 4).state_dict()}, "holds no state dict"),
        (plain, lambda: torch.ones(3), "holds no state dict"),
        (plain, lambda: {"a": Unsafe()}, "is no file of PyTorch's weights"),
        (Net, other_buffer, "is no trainable parameter of Net and has other values"),
    ],
    ids=["shape", "names", "nested", "tensor", "unsafe", "frozen"],
)
def test_other_files_are_refused(tmp_path, make, saved, message):
    path = tmp_path / "net.pt"
    torch.save(saved(), path)
    with pytest.raises(ValueError, match=rf"net\.pt.*{message}"):
        torch_policy(MDP, make).read(path)


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "net.pt"
    path.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match=r"net\.pt is no file of PyTorch's weights"):
        torch_policy(MDP, plain).read(path)
    with pytest.raises(ValueError, match=r"gone\.pt is no file of PyTorch's weights"):
        torch_policy(MDP, plain).read(tmp_path / "gone.pt")


class Half(nn.Linear):
    """Outputs of single precision."""

    def forward(self, x):
        return super().forward(x).float()


class Inner(nn.Linear):
    """Computed in single precision."""

    def forward(self, x):
        return functional.linear(x.float(), self.weight.float(), self.bias.float()).double()


class Dropped(nn.Linear):
    """Random in evaluation mode too."""

    def forward(self, x):
        return functional.dropout(super().forward(x), 0.5, training=True)


class Detached(nn.Linear):
    """A bias that is no part of the derivatives."""

    def forward(self, x):
        return functional.linear(x, self.weight, self.bias.detach())


class Raising(nn.Linear):
    """Of another number of features."""

    def forward(self, x):
        return super().forward(x[:, :1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Half, r"Half makes torch\.float32, must make a tensor of torch\.float64"),
        (Inner, "Inner: logits do not move as their derivatives say.*double precision"),
        (Dropped, "Dropped: logits do not move as their derivatives say.*random"),
        (Detached, "Detached: logits do not move as their derivatives say.*detached"),
        (Raising, r"Raising: calling it with features \(9, 2\): RuntimeError"),
        (lambda f, a: 3, "makes a int, not a torch.nn.Module"),
        (lambda f: nn.Linear(f, 4), "making it: TypeError"),
        (
            lambda f, a: nn.Linear(f, a + 1),
            r"makes \(9, 5\) of features \(9, 2\), must make \(9, 4",
        ),
        (lambda f, a: nn.Linear(f, a).requires_grad_(False), "has 0 trainable parameters"),
    ],
)
def test_what_is_no_function_of_float64_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        torch_policy(MDP, make)


def test_an_error_in_a_file_names_its_line(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "from torch import nn\nclass Net(nn.Linear):\n"
        "    def forward(self, x):\n        return self.absent(x)\n",
        encoding="utf-8",
    )
    with pytest.raises(ValueError, match=r"net\.py:Net: .*'absent'.*\(net\.py, line 4: return se"):
        make_policy("torch", MDP, module=f"{path}:Net")


def test_rows_of_many_states_are_differentiated_in_parts(monkeypatch):
    policy = torch_policy(MDP, plain)
    theta = policy.initial(0, "own")
    whole = policy.scores(theta)
    monkeypatch.setattr("pgbench.policies.network.NUMBERS_AT_A_TIME", 3 * 4 * theta.size)
    close(policy.scores(theta), whole, 1e-14)
