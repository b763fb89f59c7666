"""Verifiers: finite automata that read a prompt, then the response to it, and say right or wrong.

States are any hashable values; ``WRONG`` is the one that no token leaves. A prompt is read so that
a response that is long enough can always answer it.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from pgbench.declared.messages import shown
from pgbench.problems.problem import ProblemError

WRONG = None
"""The state in which no response can be right any more."""


@dataclass(frozen=True)
class Task:
    """What verifiers are made from: parameters of the family ``sequences`` by the same names."""

    vocabulary: int
    prompt_length: int
    length: int
    modulus: int
    pattern: str


@dataclass(frozen=True)
class Verifier:
    """A finite automaton over tokens.

    Attributes
    ----------
    start
        The state once a prompt, a tuple of tokens, has been read.
    step
        The state that follows a state and a token.
    accept
        Whether a response that ends in a state is right.
    width
        In how many states responses of one length to one prompt can be, at most.
    """

    start: Callable[[Sequence[int]], Hashable]
    step: Callable[[Any, int], Hashable]
    accept: Callable[[Any], bool]
    width: int


def modulo(task: Task) -> Verifier:
    """Right where the sum of the tokens of prompt and response is a multiple of the modulus."""
    m = task.modulus
    return Verifier(
        start=lambda prompt: sum(prompt) % m,
        step=lambda rest, token: (rest + token) % m,
        accept=lambda rest: rest == 0,
        width=m,
    )


def parity(task: Task) -> Verifier:
    """Right where prompt and response together hold token 1 an even number of times."""
    return Verifier(
        start=lambda prompt: prompt.count(1) % 2,
        step=lambda odd, token: odd ^ (token == 1),
        accept=lambda odd: not odd,
        width=2,
    )


def copy(task: Task) -> Verifier:
    """Right where the response is the prompt once more. The state is what is left to write."""
    return Verifier(
        start=tuple,
        step=lambda left, token: left[1:] if left and left[0] == token else WRONG,
        accept=lambda left: left == (),
        width=2,
    )


def ascending(task: Task) -> Verifier:
    """Right where no token is less than one before it and there are as many as in the prompt.

    Tokens of the response are compared with all before them, those of the prompt too; the prompt's
    own order does not matter. The state is the largest token so far and how many are still asked.
    """

    def step(state: tuple[int, int] | None, token: int) -> Hashable:
        if state is WRONG or token < state[0]:
            return WRONG
        return token, max(state[1] - 1, 0)

    return Verifier(
        start=lambda prompt: (max(prompt, default=0), len(prompt)),
        step=step,
        accept=lambda state: state is not WRONG and state[1] == 0,
        width=task.vocabulary + 1,
    )


def balanced(task: Task) -> Verifier:
    """Right where the response closes every bracket: token 0 opens, 1 closes, others do neither.

    What closes nothing is wrong, but skipped in the prompt. So is opening deeper than can be closed
    within the length. The state is the number of open brackets.
    """
    deepest = (task.length + task.prompt_length) // 2

    def start(prompt: Sequence[int]) -> Hashable:
        depth = 0
        for token in prompt:
            depth = max(depth + _opened(token), 0)
        return depth

    def step(depth: int | None, token: int) -> Hashable:
        after = -1 if depth is WRONG else depth + _opened(token)
        return after if 0 <= after <= deepest else WRONG

    return Verifier(start, step, accept=lambda depth: depth == 0, width=deepest + 2)


def _opened(token: int) -> int:
    return (token == 0) - (token == 1)


def containing(task: Task) -> Verifier:
    """Right where the pattern ends in the response; it may begin in the prompt.

    The state is which beginnings of the pattern the tokens so far end with.
    """
    pattern, m = task.pattern, len(task.pattern)
    for token in pattern:
        if token != "." and int(token) >= task.vocabulary:
            raise ProblemError(
                f"sequences.pattern is {shown(pattern)}, whose token {token} must be less than"
                f" vocabulary = {task.vocabulary}"
            )

    def matched(begun: frozenset[int], token: int) -> frozenset[int]:
        return frozenset(i + 1 for i in {0, *begun} if pattern[i] in (".", str(token)))

    def start(prompt: Sequence[int]) -> Hashable:
        begun: frozenset[int] = frozenset()
        for token in prompt:
            begun = matched(begun, token) - {m}
        return begun

    def step(begun: frozenset[int], token: int) -> Hashable:
        after = begun if m in begun else matched(begun, token)
        return frozenset({m}) if m in after else after

    width = m + 1 if "." not in pattern else 2 ** (m - 1) + 1
    return Verifier(start, step, accept=lambda begun: m in begun, width=width)


VERIFIERS: dict[str, Callable[[Task], Verifier]] = {
    "modulo": modulo,
    "parity": parity,
    "copy": copy,
    "sorted": ascending,
    "balanced": balanced,
    "pattern": containing,
}
"""Verifiers by the names they have in grids."""
