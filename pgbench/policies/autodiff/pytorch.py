"""Networks in PyTorch, differentiated by ``torch.func``: the one file that imports it.

They are evaluated in float64, on one thread, in evaluation mode, with no change to what the rest of
the process sees of PyTorch.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, jvp, vjp, vmap

from pgbench.arrays import FloatArray
from pgbench.policies.network import Outputs
from pgbench.policies.user_module import OwnCode

Parameters = dict[str, Tensor]

_each = partial(vmap, randomness="same")
"""Whether a module is random is seen by its outputs."""

with warnings.catch_warnings():
    # Its first forward derivative loads what PyTorch itself calls out of date.
    warnings.simplefilter("ignore", DeprecationWarning)
    jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))


@contextmanager
def _conditions() -> Iterator[None]:
    """Double precision by default, and one thread, so that sums do not depend on the machine."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)


class TorchOutputs(Outputs):
    """Outputs of a module with θ in place of its trainable parameters.

    θ holds them in the order of ``named_parameters``, each row by row. Other parameters and buffers
    stay what the module that is made with seed 0 has.

    Parameters
    ----------
    code
        What the user wrote.
    make
        Makes the module.

    Raises
    ------
    ValueError
        Where what is made is no module.
    """

    def __init__(self, code: OwnCode, make: Callable[[], Any]) -> None:
        self.name, self._code, self._make = code.words, code, make
        self.module = self._made(0)
        self.shapes = {key: p.shape for key, p in _trainable(self.module).items()}
        self.module.requires_grad_(False)

    @property
    def n_parameters(self) -> int:
        """Length d of θ."""
        return sum(map(math.prod, self.shapes.values()))

    def at(self, thetas: FloatArray, rows: FloatArray) -> FloatArray:
        """Outputs (m, n, o)."""
        with _conditions(), torch.no_grad():
            x = torch.tensor(rows)
            if len(thetas) == 1:
                return _array(self._call(self._split(torch.tensor(thetas[0])), x))[None]
            call = _each(self._call, in_dims=(0, None))
            return _array(call(self._split(torch.tensor(thetas)), x))

    def traced(self, theta: Tensor, rows: FloatArray) -> Tensor:
        """Outputs (n, o) of a tensor θ of double precision, to differentiate."""
        with _conditions():
            return self._call(self._split(theta), torch.tensor(rows))

    def pull_back(self, theta: FloatArray, rows: FloatArray, weights: FloatArray) -> FloatArray:
        """Gradients (k, d) of Σ W ⊙ outputs at one θ (d,), of weights W (k, n, o)."""
        with _conditions():
            back = self._backward(self._split(torch.tensor(theta)), torch.tensor(rows))
            if len(weights) == 1:
                return _joined(back(torch.tensor(weights[0])), 0)[None]
            return _joined(_each(back)(torch.tensor(weights)), 1)

    def each_pull_back(
        self, thetas: FloatArray, rows: FloatArray, weights: FloatArray
    ) -> FloatArray:
        """Gradients (m, d) of Σ W ⊙ outputs, each at its own θ with weights of (m, n, o)."""
        with _conditions():
            x = torch.tensor(rows)
            pulled = _each(lambda own, W: self._backward(own, x)(W))
            return _joined(pulled(self._split(torch.tensor(thetas)), torch.tensor(weights)), 1)

    def each_push_forward(
        self, thetas: FloatArray, rows: FloatArray, directions: FloatArray
    ) -> FloatArray:
        """Derivatives (m, n, o) of outputs along directions (m, d), each at its own θ."""
        with _conditions():
            x = torch.tensor(rows)

            def moved(own: Parameters, along: Parameters) -> Tensor:
                return jvp(lambda p: self._call(p, x), (own,), (along,))[1]

            each = (self._split(torch.tensor(v)) for v in (thetas, directions))
            return _array(_each(moved)(*each))

    def jacobian(self, theta: FloatArray, rows: FloatArray) -> FloatArray:
        """Derivatives (n, o, d) of all outputs at one θ (d,)."""
        with _conditions():
            each = _each(jacrev(lambda p, x: self._call(p, x[None])[0]), in_dims=(None, 0))
            return _joined(each(self._split(torch.tensor(theta)), torch.tensor(rows)), 2)

    def initial(self, seed: int) -> FloatArray:
        """The trainable parameters (d,) of a module made after ``torch.manual_seed(seed)``."""
        return self._gathered(_trainable(self._made(seed)), self.name)

    def read(self, path: Path) -> FloatArray:
        """θ (d,) from a file of a state dict; ValueError if it is none, or not the module's."""
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # PyTorch raises what the file makes it
            first = (str(error).splitlines() or [""])[0]
            raise ValueError(f"{path} is no file of PyTorch's weights: {first}") from error
        if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
            raise ValueError(
                f"{path} holds no state dict, as torch.save(net.state_dict(), path) does"
            )
        own = self.module.state_dict()
        if missing := [*(own.keys() - found.keys()), *(found.keys() - own.keys())]:
            raise ValueError(
                f"{path} is no state dict of {self.name}, which has {', '.join(own)}:"
                f" {', '.join(sorted(missing))} stands on one side alone"
            )
        self._require_fixed(path, own, found)
        return self._gathered({key: found[key] for key in self.shapes}, str(path))

    def _require_fixed(self, path: Path, own: Parameters, found: Mapping[str, Tensor]) -> None:
        """ValueError where a file has other values of what is no trainable parameter."""
        for key in own.keys() - self.shapes.keys():
            if own[key].shape != found[key].shape or not torch.equal(
                own[key], found[key].to(own[key])
            ):
                raise ValueError(
                    f"{path}: {key} is no trainable parameter of {self.name} and has other values"
                    " than there; let the module load it itself"
                )

    def _gathered(self, parameters: Mapping[str, Tensor], where: str) -> FloatArray:
        """θ (d,) from trainable parameters by name."""
        for key, shape in self.shapes.items():
            if (found := parameters[key].shape) != shape:
                raise ValueError(f"{where}: {key} has shape {tuple(found)}, must be {tuple(shape)}")
        return _joined({key: parameters[key].detach() for key in self.shapes}, 0)

    def _made(self, seed: int) -> nn.Module:
        """A new module, in float64 and evaluation mode; the generators of the process stay."""
        with _conditions(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed % 2**63)
            # A copy, as what makes it may give the same one again.
            module = deepcopy(self._code.call("making it", self._make))
        if not isinstance(module, nn.Module):
            raise ValueError(f"{self.name} makes a {type(module).__name__}, not a torch.nn.Module")
        return module.to(device="cpu", dtype=torch.float64).eval()

    def _split(self, theta: Tensor) -> Parameters:
        """Parameters (..., shape) by name from θ (..., d)."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = zip(self.shapes.items(), theta.split(sizes, dim=-1), strict=True)
        return {key: part.reshape(*theta.shape[:-1], *shape) for (key, shape), part in parts}

    def _call(self, parameters: Parameters, rows: Tensor) -> Tensor:
        """What the module makes of rows (n, f), float64; ValueError where it is no such thing."""
        found = self._code.call(
            f"calling it with features {tuple(rows.shape)}",
            lambda: functional_call(self.module, parameters, (rows,)),
        )
        if not isinstance(found, Tensor) or found.dtype != torch.float64:
            kind = found.dtype if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"{self.name} makes {kind}, must make a tensor of torch.float64")
        return found

    def _backward(self, parameters: Parameters, rows: Tensor) -> Callable[[Tensor], Parameters]:
        """The pull-back of outputs (n, o) to parameters."""
        _, back = vjp(lambda own: self._call(own, rows), parameters)
        return lambda weights: back(weights)[0]


def _trainable(module: nn.Module) -> Parameters:
    return {key: p for key, p in module.named_parameters() if p.requires_grad}


def _joined(parameters: Mapping[str, Tensor], leading: int) -> FloatArray:
    """θ (..., d) from parameters by name, after so many leading axes."""
    parts = [part.reshape(*part.shape[:leading], -1) for part in parameters.values()]
    return _array(torch.cat(parts, dim=-1))


def _array(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.detach().to(torch.float64).numpy())
