"""What MkDocs does besides: formulas as images, files of the repository, notebooks that ran."""

import re
from pathlib import Path
from posixpath import relpath
from tempfile import TemporaryDirectory
from typing import Any

import jupytext
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

from pgbench.report.tables import formula_image

ROOT = Path(__file__).parents[1]

OUTSIDE = re.compile(r"(\]\()\.\./([^)#\s]+)")
"""Links of a page to what lies outside the folder of pages."""

FORMULA = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)

COPIED = "repository"
"""Folder of the site for files of the repository that pages link to."""


def on_files(files: Files, config: Any) -> Files:
    """Add what pages link to outside their folder, and a page per notebook."""
    for file in [own for own in files if own.src_uri.endswith(".md")]:
        for _, name in OUTSIDE.findall(Path(file.abs_src_path).read_text(encoding="utf-8")):
            uri = f"{COPIED}/{name}"
            if files.get_file_from_path(uri) is None:
                copy = File.generated(config, uri, content=(ROOT / name).read_bytes())
                files.append(copy)
    for source in sorted(Path(config.docs_dir, "notebooks").glob("*.py")):
        for name, content in executed(source).items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Formulas as images, links to the copies of files."""
    here = page.file.src_uri.rpartition("/")[0]
    copied = relpath(COPIED, here or ".")
    markdown = OUTSIDE.sub(rf"\1{copied}/\2", markdown)
    return FORMULA.sub(lambda found: _image(found[1]), markdown)


def _image(formula: str) -> str:
    formula = " ".join(formula.split())
    shown = formula.replace('"', "&quot;").replace("|", "&#124;")
    return f'<img class="formula" alt="{shown}" src="{formula_image(formula)}">'


def executed(source: Path) -> dict[str, str | bytes]:
    """The page of a notebook kept as text, and its images, by name; raises where a cell fails."""
    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    with TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, timeout=600, resources=resources)
        client.extra_arguments = ["--log-level=ERROR"]
        client.execute()
    stem = source.stem
    named = {"unique_key": f"{stem}-outputs", "output_files_dir": f"{stem}-outputs"}
    text, made = MarkdownExporter().from_notebook_node(notebook, named)
    note = f"*A notebook kept as text, [{source.name}](../../docs/notebooks/{source.name});"
    note += " it was run when this page was built.*\n\n"
    head, rest = text.lstrip().split("\n", 1)
    page = f"{head}\n\n{note}{_plain(rest)}"
    return {f"{stem}.md": page, **made["outputs"]}


def _plain(text: str) -> str:
    """Without the styles and progress bars that notebooks put into their output."""
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    return re.sub(r"^ *<progress.*$\n?", "", text, flags=re.MULTILINE)
