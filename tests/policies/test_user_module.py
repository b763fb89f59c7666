"""Networks in files of users: found, loaded, and what is said where they cannot be."""

import sys

import pytest

from pgbench.policies.user_module import (
    OwnCode,
    UserModuleError,
    content,
    objection,
    require,
)

SOURCE = """
import json as own_json
from os import path

PAIR = LEFT, right = 1, 2
if LEFT:
    maybe = 3
else:
    maybe = 4


class Net:
    inner = 5

    def method(self):
        local = 6


def make(n):
    return n
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(SOURCE, encoding="utf-8")
    yield path
    sys.modules.pop("own_net", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path.resolve())]


@pytest.mark.parametrize("name", ["Net", "make", "LEFT", "right", "maybe", "own_json", "path"])
def test_names_at_the_top_are_there_without_running_the_file(net, name):
    assert objection(f"{net}:{name}", "json") == ""
    assert OwnCode.of(f"{net}:{name}").words == f"net.py:{name}"


@pytest.mark.parametrize("name", ["inner", "method", "local", "n"])
def test_names_within_are_not(net, name):
    assert f"{net}: has nothing called '{name}'" in objection(f"{net}:{name}", "json")
    with pytest.raises(UserModuleError, match=f"has nothing called '{name}'"):
        OwnCode.of(f"{net}:{name}")


def test_a_close_name_is_suggested(net):
    assert "did you mean Net?" in objection(f"{net}:Ned", "json")


def test_names_may_come_from_elsewhere(net):
    net.write_text("from os.path import *\n", encoding="utf-8")
    assert objection(f"{net}:join", "json") == ""
    assert OwnCode.of(f"{net}:join").thing("a", "b") == "a/b"


def test_a_file_imports_what_lies_beside_the_net(net):
    net.with_name("beside_the_net.py").write_text("value = 7\n", encoding="utf-8")
    net.write_text("from beside_the_net import value\n", encoding="utf-8")
    assert OwnCode.of(f"{net}:value").thing == 7


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = (\n", r"net\.py:1: '\(' was never closed"),
        ("x = 1\nreturn 2\n", r"net\.py.*'return' outside function.*line 2"),
        ("x = '\0'\n", r"net\.py: is not a Python file|net\.py:1: source code"),
        ("1 / 0\n", r"net\.py:x: importing it: ZeroDivisionError: .* \(net\.py, line 1: 1 / 0\)"),
        ("import nothing_such\n", r"net\.py:x: importing it: ModuleNotFoundError"),
    ],
    ids=["syntax", "return", "zero byte", "raises", "lacks a module"],
)
def test_files_that_do_not_run_are_refused(net, source, message):
    net.write_text(source, encoding="utf-8")
    with pytest.raises(UserModuleError, match=message):
        OwnCode.of(f"{net}:x")


def test_files_that_cannot_be_read_are_refused(net):
    missing = net.with_name("gone.py")
    assert objection(f"{missing}:Net", "json") == f"{missing}: there is no such file"
    net.with_name("folder.py").mkdir()
    assert "folder.py: cannot be read" in objection(f"{net.with_name('folder.py')}:Net", "json")


def test_a_library_that_is_missing_is_said_with_what_installs_it(net):
    with pytest.raises(UserModuleError, match=r"pip install 'pgbench\[autodiff\]'"):
        require("nothing_such")
    assert objection(f"{net}:Net", "nothing_such").startswith("the module 'nothing_such' is not")


def test_content_is_that_of_the_file(net):
    values = {"module": f"{net}:Net"}
    before = content(values)
    assert before == content({"module": f"{net}:make"})
    net.write_text(SOURCE + "# more\n", encoding="utf-8")
    assert content(values) not in ("", before)
    assert content({"module": f"{net.with_name('gone.py')}:Net"}) == ""


def test_an_error_of_a_users_call_names_its_line(net):
    net.write_text("def f():\n    return {}['key']\n", encoding="utf-8")
    own = OwnCode.of(f"{net}:f")
    with pytest.raises(UserModuleError, match=r"net\.py:f: making it: KeyError: 'key'.*line 2"):
        own.call("making it", own.thing)
