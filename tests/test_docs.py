"""Tests of the documentation: every block of code runs, and the site is built.

The blocks of a page run in order, in one folder and one namespace. A block with a title is a file;
YAML is a grid; of a console the lines that begin with ``$`` are commands. A comment above a block
may say that it is slow, or why it cannot run here.
"""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgbench.__main__ import main
from pgbench.grid.reader import parse_grid, read_grid

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))

BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>slow|not run): (?P<why>[^\n]+?) -->\n)?"
    r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    language: str
    title: str
    code: str
    mark: str
    line: int


def blocks(path):
    """The blocks of a page in order."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(
            found["language"],
            found["title"] or "",
            found["code"],
            found["mark"] or "",
            text.count("\n", 0, found.start("code")) + 1,
        )
        for found in BLOCK.finditer(text)
    ]


def command(line):
    """Run a command of a page; its output is what the command prints."""
    line, _, remark = line.partition(" #")
    words = shlex.split(line)
    file = ""
    if ">" in words:
        words, (file,) = words[: words.index(">")], words[words.index(">") + 1 :]
    allowed = {0} | ({int(remark.split()[-1])} if remark.strip().startswith("exit code") else set())
    made = io.StringIO()
    if words[:3] == ["python", "-m", "pgbench"] or words[0] == "pg-bench":
        given = words[1:] if words[0] == "pg-bench" else words[3:]
        with contextlib.redirect_stdout(made), contextlib.redirect_stderr(io.StringIO()) as told:
            try:
                code = main(given)
            except SystemExit as end:
                code = end.code
        assert code in allowed, f"{line}: exit code {code}: {told.getvalue()}"
    else:
        assert words[0] in ("cat", "ls", "mkdir", "cp"), f"{line}: no command of a page"
        made.write(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    if file:
        Path(file).write_text(made.getvalue(), encoding="utf-8")


def run(block, names, path):
    """Run a block, or write its file."""
    if block.title:
        Path(block.title).parent.mkdir(parents=True, exist_ok=True)
        Path(block.title).write_text(block.code, encoding="utf-8")
        if block.language == "yaml":
            read_grid(block.title)
    elif block.language == "yaml":
        parse_grid(block.code)
    elif block.language == "python":
        code = "\n" * (block.line - 1) + block.code
        exec(compile(code, str(path), "exec"), names)
    elif block.language == "console":
        for line in block.code.splitlines():
            if line.startswith("$ "):
                command(line[2:])


def runnable(path, slow):
    """The blocks of a page that run: all of them where it has slow ones and those may run."""
    own = [block for block in blocks(path) if block.mark != "not run"]
    if any(block.mark == "slow" for block in own) == slow:
        return own
    return [] if slow else [block for block in own if block.mark != "slow"]


def run_page(path, folder, monkeypatch, slow):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setenv("MPLBACKEND", "agg")
    names = {"__name__": "page"}
    for block in runnable(path, slow):
        run(block, names, path)


@pytest.mark.parametrize("path", [p for p in PAGES if runnable(p, False)], ids=lambda p: p.stem)
@pytest.mark.filterwarnings("default")
def test_every_block_of_a_page_runs(path, tmp_path, monkeypatch):
    run_page(path, tmp_path, monkeypatch, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in PAGES if runnable(p, True)], ids=lambda p: p.stem)
@pytest.mark.filterwarnings("default")
def test_every_block_of_a_page_runs_with_the_slow_ones(path, tmp_path, monkeypatch):
    run_page(path, tmp_path, monkeypatch, slow=True)


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_every_block_has_a_language(path):
    """Code that is only indented, or has no language, would not be tried."""
    assert [block.line for block in blocks(path) if not block.language] == []
    text = BLOCK.sub("", path.read_text(encoding="utf-8"))
    assert re.findall(r"\n\n {4}[^ \n*-].*", text) == []
    assert "```" not in text


def test_a_block_that_fails_is_found(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    for wrong in (
        "```python\n1 / 0\n```\n",
        '```yaml title="grid.yaml"\nname: t\n```\n',
        "```console\n$ pg-bench show nowhere\n```\n",
        "```console\n$ rm -rf x\n```\n",
    ):
        page.write_text(wrong, encoding="utf-8")
        with pytest.raises((ArithmeticError, ValueError, AssertionError)):
            run_page(page, tmp_path, monkeypatch, slow=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, whose notebooks are run on the way."""
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    environment = {"NO_MKDOCS_2_WARNING": "1", "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    made = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert made.returncode == 0, made.stderr[-2000:]
    return folder


def test_the_site_has_every_page(site):
    for page in PAGES:
        assert (site / f"{page.stem}.html").exists()
    notebooks = {path.stem for path in (ROOT / "docs" / "notebooks").glob("*.py")}
    assert notebooks == {"gae", "lecture"}
    for name in notebooks:
        assert (site / "notebooks" / f"{name}.html").exists()
        assert len([*(site / "notebooks" / f"{name}-outputs").glob("*.png")]) >= 3


def test_the_site_loads_nothing_from_elsewhere(site):
    loaded = re.compile(r'<(?:script|img|iframe|link)[^>]+(?:src|href)="(https?:[^"]+)')
    for page in site.rglob("*.html"):
        if "repository" not in page.parts:
            assert loaded.findall(page.read_text(encoding="utf-8")) == [], page


def test_formulas_are_images(site):
    text = (site / "estimators.html").read_text(encoding="utf-8")
    assert "$$" not in text
    assert text.count('class="formula"') > 60
