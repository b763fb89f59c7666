"""What the tests of exact quantities of finite problems share."""

import pytest

from pgbench.exact.finite import fundamental, linear


@pytest.fixture
def as_if_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small systems are solved by what is meant for large ones."""
    monkeypatch.setattr(fundamental, "SMALL", 0)
    for module in (fundamental, linear):
        monkeypatch.setattr(module, "DENSE_LIMIT", 0)
