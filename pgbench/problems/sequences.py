"""Sequences: responses written token by token to prompts, and a verifier that pays at the end."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray

from pgbench.arrays import BoolArray, FloatArray, IntArray
from pgbench.declared.parameters import Choice, Pattern, Range
from pgbench.declared.sources import digest_of
from pgbench.problems.automaton import Automaton, automaton_in, closed
from pgbench.problems.dimensions import FiniteDimensions
from pgbench.problems.family import Count, Family, Seed
from pgbench.problems.finite import FiniteMDP
from pgbench.problems.problem import ProblemError
from pgbench.problems.verifiers import VERIFIERS, Task

MOST_PROMPTS = 2**63
"""Prompts are drawn by number, so that there must be fewer."""

UNKNOWN = -1
"""Stands for a token where none was written, or nobody knows which."""


def sequences(
    verifier: Annotated[str, Choice(tuple(VERIFIERS)), "what makes a response right"] = "modulo",
    modulus: Annotated[int, Range(2), "of the verifier modulo"] = 5,
    pattern: Annotated[
        str,
        Pattern("[0-9.]+", 'digits and dots in quotes, such as "01"'),
        "of the verifier pattern; each digit is a token, a dot any token",
    ] = "01",
    automaton: Annotated[
        str | None,
        "a JSON file with transition, accept and start, relative to the grid's file, in place of a"
        " named verifier; its vocabulary and prompts are those of its tables",
    ] = None,
    prompts: Annotated[int, Range(1), "number of prompts; all there are, if there are fewer"] = 4,
    prompt_length: Annotated[int, Range(0, 62), "tokens of a prompt"] = 3,
    vocabulary: Annotated[
        int, Range(2, 10**6), "tokens K that can be written; action K is the end token"
    ] = 3,
    length: Annotated[Count, "most tokens of a response, the end token among them"] = 6,
    states: Annotated[
        str,
        Choice(("merged", "prefixes")),
        "merged: prompt, verifier's state and position; prefixes: prompt and all tokens so far",
    ] = "merged",
    length_cost: Annotated[float, Range(0), "paid for every token, the end token too"] = 0.0,
    format_reward: Annotated[float, "paid for a response that ends by itself"] = 0.0,
    truncated: Annotated[
        str,
        Choice(("wrong", "judged")),
        "whether the verifier judges responses that the limit cuts, or they are all wrong",
    ] = "wrong",
    window: Annotated[
        int, Range(0, 1000), "last tokens that features and coordinates of prefixes hold"
    ] = 2,
    features: Annotated[
        bool, "whether there are own features, (K + 1)(K + 3 + window·K) numbers per pair at most"
    ] = True,
    seed: Annotated[Seed, "seed of the choice of prompts"] = 0,
) -> FiniteMDP:
    """Token sequences: a response to a prompt, a token per step; a verifier pays 1 if it is right.

    Undiscounted. A response ends with the end token, or is cut at its ``length``-th token if that
    is another one. States are those that some response reaches: all that are unfinished, by
    position, then up to four terminal ones, wrong and right, ended and cut. Outcomes: verdict, and
    whether it ended by itself. Every prompt is as likely. Verifiers, right where

    - modulo: the sum of the tokens of prompt and response is a multiple of ``modulus``;
    - parity: prompt and response together hold token 1 an even number of times;
    - copy: the response is the prompt once more;
    - sorted: each token is at least as large as all before it, those of the prompt too, and there
      are as many as in the prompt at least;
    - balanced: the response closes all brackets that it or the prompt opens, and no other; token 0
      opens, 1 closes, others do neither; in the prompt what closes nothing is skipped;
    - pattern: prompt and response hold the pattern, and it ends in the response.

    Coordinates: position, number of the verifier's state, number of the prompt, last tokens (-1
    for none). Features, a copy per action: position, one-hot what a shortest right response does
    next (a token, end, or nothing helps), one-hot last tokens. Both are 0 in terminal states.
    """
    tokens: IntArray
    if automaton is None:
        task = Task(vocabulary, prompt_length, length, modulus, pattern)
        tokens = _prompts(vocabulary, prompt_length, prompts, seed)
        machine = closed(VERIFIERS[verifier](task), vocabulary, map(tuple, tokens.tolist()), length)
    else:
        machine = automaton_in(Path(automaton))
        tokens = np.zeros((len(machine.start), 0), np.int64)
    merged = states == "merged"
    begun = _Responses.begun(machine, tokens, 0 if merged else window)
    unfinished, after = _written(machine, begun, length, merged)
    judged = machine.accept & (truncated == "judged")
    successor, ends = _ended(machine, unfinished, after, judged)

    n = len(unfinished.state)
    S, K = n + len(ends), machine.transition.shape[1]
    outcomes = np.zeros((S, 2))
    outcomes[n:] = _MEANING[ends]
    terminal = np.arange(S) >= n
    reward = np.zeros((S, K + 1))
    reward[:n] = (outcomes @ [1.0, format_reward])[successor[:n]] - length_cost
    mu0 = np.zeros(S)
    mu0[: len(tokens)] = 1 / len(tokens)
    return FiniteMDP(
        successor=successor[:, :, None],
        probability=np.broadcast_to(1.0, (S, K + 1, 1)),
        reward=reward[:, :, None],
        mu0=mu0,
        gamma=1.0,
        terminal=terminal,
        features=_features(machine, unfinished, S, length) if features else None,
        coordinates=_padded(unfinished.places, S),
        outcomes=outcomes,
        truncated=terminal & (outcomes[:, 1] == 0),
    )


_MEANING = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
"""Verdict and whether it ended by itself, of the kinds of terminal states: 2·cut + right."""


@dataclass(frozen=True, eq=False)
class _Responses:
    """Unfinished responses: what tells them apart, or all that responses in a state share.

    Attributes
    ----------
    prompt, state, position
        (n,) int64, numbers of the prompt and of the verifier's state, and tokens so far.
    last
        (n, w) int64, last tokens of prompt and response, or ``UNKNOWN``.
    """

    prompt: IntArray
    state: IntArray
    position: IntArray
    last: IntArray

    @classmethod
    def begun(cls, machine: Automaton, tokens: IntArray, window: int) -> Self:
        """Nothing written yet to each of the prompts (P, L)."""
        P, L = tokens.shape
        last = np.pad(tokens, ((0, 0), (window, 0)), constant_values=UNKNOWN)[:, L:]
        return cls(np.arange(P), machine.start, np.zeros(P, np.int64), last)

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """All of several, one after another."""
        names = ("prompt", "state", "position", "last")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @property
    def places(self) -> FloatArray:
        """Coordinates (n, 3 + w)."""
        return np.column_stack([self.position, self.state, self.prompt, self.last]).astype(float)

    def continued(self, machine: Automaton, merged: bool) -> tuple[Self, IntArray]:
        """These with one more token, and which of those each token makes of each, (n, K)."""
        Q, K = machine.transition.shape
        n = len(self.state)
        prompt, state = np.repeat(self.prompt, K), machine.transition[self.state].ravel()
        if merged:
            found, child = np.unique(prompt * Q + state, return_inverse=True)
            prompt, state = found // Q, found % Q
            last = np.zeros((len(found), 0), np.int64)
        else:
            child = np.arange(n * K)
            last = np.column_stack([self.last.repeat(K, axis=0), np.tile(np.arange(K), n)])[:, 1:]
        position = np.full(len(state), self.position[0] + 1)
        return type(self)(prompt, state, position, last), child.reshape(n, K)


def _prompts(vocabulary: int, prompt_length: int, prompts: int, seed: int) -> IntArray:
    """Different prompts (P, L), drawn uniformly, in order; all there are if there are no more."""
    total = vocabulary**prompt_length
    if total >= MOST_PROMPTS:
        raise ProblemError(
            f"sequences.prompt_length is {prompt_length} with vocabulary = {vocabulary},"
            " vocabulary^prompt_length must be less than 2^63"
        )
    number = np.arange(min(total, prompts))
    if total > prompts:
        rng = np.random.default_rng(seed)
        number = np.sort(rng.choice(total, prompts, replace=False, shuffle=False))
    places = vocabulary ** np.arange(prompt_length)[::-1]
    return number[:, None] // places % vocabulary


def _written(
    machine: Automaton, begun: _Responses, length: int, merged: bool
) -> tuple[_Responses, IntArray]:
    """All unfinished responses by position, and which of them follows by each token (n', K).

    What follows the last n - n' of them is a cut response.
    """
    parts, children = [begun], [np.zeros((0, machine.transition.shape[1]), np.int64)]
    known = len(begun.state)
    for _ in range(length - 1):
        part, child = parts[-1].continued(machine, merged)
        children.append(known + child)
        parts.append(part)
        known += len(part.state)
    return _Responses.joined(parts), np.concatenate(children)


def _ended(
    machine: Automaton, unfinished: _Responses, after: IntArray, judged: BoolArray
) -> tuple[NDArray[np.int32], IntArray]:
    """Successors (S, K + 1) of every action, and of which kind the terminal states are.

    Terminal states stand last; there are those that some response ends in.
    """
    n, m, K = len(unfinished.state), len(after), machine.transition.shape[1]
    kind = np.empty((n, K + 1), np.int64)
    kind[m:, :K] = 2 + judged[machine.transition[unfinished.state[m:]]]
    kind[:, K] = machine.accept[unfinished.state]
    ends = np.unique(np.append(kind[:, K], kind[m:, :K]))
    successor = np.empty((n + len(ends), K + 1), np.int32)
    successor[:n] = n + np.searchsorted(ends, kind)
    successor[:m, :K] = after
    successor[n:] = n
    return successor, ends


def _features(machine: Automaton, unfinished: _Responses, S: int, length: int) -> FloatArray:
    """e_a ⊗ x(s), shape (S, A, A·n), from features x of unfinished responses."""
    K = machine.transition.shape[1]
    A = K + 1
    wanted = machine.wanted(length)[unfinished.state]
    seen = [unfinished.position[:, None] / length, wanted[:, None] == np.arange(K + 2)]
    seen += [token[:, None] == np.arange(K) for token in unfinished.last.T]
    x = np.concatenate(seen, axis=1)
    phi = np.zeros((S, A, A, x.shape[1]))
    phi[: len(x), np.arange(A), np.arange(A)] = x[:, None]
    return phi.reshape(S, A, -1)


def _padded(table: FloatArray, S: int) -> FloatArray:
    """A table of the first states with rows of zeros for the others, (S, c)."""
    return np.pad(table, ((0, S - len(table)), (0, 0)))


def dimensions(
    automaton: str | None, length: int, states: str, window: int, features: bool, **other: Any
) -> FiniteDimensions | None:
    """How large a problem of sequences is at most; None where building says what is wrong."""
    try:
        P, K, width = _extent(automaton, length=length, **other)
    except ProblemError:
        return None
    merged = states == "merged"
    w = 0 if merged else window
    return FiniteDimensions(
        n_states=P * _most(width if merged else _MANY, K, length) + len(_MEANING),
        n_actions=K + 1,
        n_features=(K + 1) * (K + 3 + w * K) if features else 0,
        n_coordinates=3 + w,
    )


_MANY = 2**62
"""More than any array holds."""


def _extent(
    automaton: str | None,
    verifier: str,
    vocabulary: int,
    prompts: int,
    prompt_length: int,
    **other: Any,
) -> tuple[float, int, int]:
    """Numbers of prompts and tokens, and of the verifier's states at one position, at most."""
    if automaton is not None:
        machine = automaton_in(Path(automaton))
        return float(len(machine.start)), machine.transition.shape[1], len(machine.accept)
    names = ("length", "modulus", "pattern")
    task = Task(vocabulary, prompt_length, **{name: other[name] for name in names})
    P = float(min(prompts, vocabulary**prompt_length))
    return P, vocabulary, VERIFIERS[verifier](task).width


def _most(width: int, K: int, length: int) -> float:
    """Σ_t min(K^t, width) over positions t < length; ``width`` counts to 2^62."""
    width = min(width, _MANY)
    t, total = 0, 0.0
    while t < min(length, 62) and K**t < width:
        total, t = total + K**t, t + 1
    return total + float(min(K**t, width)) * (length - t)


def content(values: Mapping[str, Any]) -> str:
    """Hash of the automaton's file, or nothing without one."""
    path = values.get("automaton")
    return "" if path is None else digest_of(path)


family = Family(
    "sequences",
    sequences,
    size="length",
    reference="Ranzato, Chopra, Auli & Zaremba 2016; Lambert et al. 2024 (verifiable rewards)",
    content=content,
    paths=("automaton",),
    dimensions=dimensions,
)
