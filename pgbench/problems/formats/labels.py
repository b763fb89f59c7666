"""Labels of states, as PRISM and Storm write them in files ``.lab``.

PRISM numbers labels in the first line, ``0="init" 1="deadlock" 2="done"``, and gives the numbers of
a state after a colon, ``7: 1 2``. Storm declares their names between ``#DECLARATION`` and ``#END``,
and gives the names of a state after it, ``7 done``.
"""

import re
from pathlib import Path

from pgbench.declared.messages import shown
from pgbench.declared.parameters import did_you_mean
from pgbench.problems.formats.text import opened, wrong

Labels = dict[str, list[int]]
"""States by label."""


def labels_in(path: Path, n_states: int) -> Labels:
    """The states of every label of a file; ProblemError names the line and what is allowed."""
    with opened(path) as file:
        lines = [(n, text.strip()) for n, text in enumerate(file, 1) if text.strip()]
    line, first = lines[0] if lines else (1, "")
    if first == "#DECLARATION":
        return _of_storm(path, lines, n_states)
    names = dict(re.findall(r'(\d+)="([^"]*)"', first))
    if not names:
        raise wrong(
            path,
            line,
            f'{shown(first)} must be #DECLARATION, as Storm begins, or 0="init" 1="done", as PRISM',
        )
    found: Labels = {name: [] for name in names.values()}
    for line, text in lines[1:]:
        state, _, given = text.partition(":")
        for word in given.split():
            if word not in names:
                raise wrong(path, line, f"label {shown(word)} must be one of {', '.join(names)}")
            found[names[word]].append(_state(path, line, state, n_states))
    return found


def _of_storm(path: Path, lines: list[tuple[int, str]], n_states: int) -> Labels:
    end = next((i for i, (_, text) in enumerate(lines) if text == "#END"), None)
    if end is None:
        raise wrong(path, lines[-1][0], "the file ends before #END, must have it after the labels")
    found: Labels = {name: [] for _, text in lines[1:end] for name in text.split()}
    for line, text in lines[end + 1 :]:
        state, *names = text.split()
        for name in names:
            if name not in found:
                hint = did_you_mean(name, found)
                raise wrong(
                    path, line, f"label {shown(name)}{hint} must be one of {', '.join(found)}"
                )
            found[name].append(_state(path, line, state, n_states))
    return found


def _state(path: Path, line: int, word: str, n_states: int) -> int:
    state = int(word) if re.fullmatch(r"\s*[0-9]{1,18}\s*", word) else -1
    if not 0 <= state < n_states:
        raise wrong(path, line, f"state is {shown(word)}, must be in [0, {n_states - 1}]")
    return state
