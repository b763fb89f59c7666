"""Files of users, each with a network in one of the libraries."""

import sys

import pytest

from tests.support.networks import JAX, TORCH


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is the working one, with ``twin_torch.py`` and ``twin_jax.py``."""
    (tmp_path / "twin_torch.py").write_text(TORCH, encoding="utf-8")
    (tmp_path / "twin_jax.py").write_text(JAX, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path
