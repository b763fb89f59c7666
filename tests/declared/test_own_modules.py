"""Files of users as modules: known by name, and with their neighbours behind everything else."""

import sys

from pgbench.declared.own_modules import blank_module


def test_a_module_is_registered_and_finds_its_neighbours_last(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "own_mine", sys)
    modules = [blank_module(tmp_path / "mine.py") for _ in range(2)]
    assert sys.modules["own_mine"] is modules[1]
    assert modules[1].__file__ == str(tmp_path / "mine.py")
    assert sys.path[-1] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1
