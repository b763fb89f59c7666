"""What the tests of reports share."""

import pytest

from pgbench.report import page


@pytest.fixture
def unrendered(monkeypatch):
    """Figures are made but not laid out and rendered, which takes most of the time of a report."""

    def save(figure, stem):
        stem.with_suffix(".svg").write_bytes(b"<svg/>")
        stem.with_suffix(".png").write_bytes(b"\x89PNG")

    monkeypatch.setattr(page, "save", save)
