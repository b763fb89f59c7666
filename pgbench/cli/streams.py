"""Standard output and error of a process: they take every character, and fail at the end alone."""

import errno
import io
import os
import sys
import unicodedata
from codecs import register_error
from typing import TextIO

from pgbench.cli.exit_codes import BAD_INPUT

SPELT = {
    "—": "-",
    "–": "-",
    "−": "-",
    "‖": "|",
    "…": "...",
    "×": "x",
    "·": "*",
    "±": "+-",
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    "≈": "~",
    "∝": "~",
    "→": "->",
    "←": "<-",
    "∇": "grad ",
    "∂": "d",
    "∞": "inf",
    "√": "sqrt",
    "∈": "in",
    "ᵀ": "'",
    "†": "+",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
}
"""Symbols, as far as their names in Unicode do not say how they are written in ASCII."""


class Stream(io.TextIOWrapper):
    """A standard stream that keeps why it could not be written, and then takes all for nothing.

    Attributes
    ----------
    failure
        What the first writing that failed said, or None.
    """

    failure: OSError | None = None

    def write(self, text: str, /) -> int:
        """Write; the number of characters."""
        try:
            return super().write(text)
        except OSError as error:
            self._fail(error)
            return len(text)

    def flush(self) -> None:
        """Hand on what is held back."""
        try:
            super().flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failure = self.failure or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def take_streams() -> None:
    """Let whatever the process prints go through streams that do not fail."""
    _occupy()
    sys.stdout, sys.stderr = _stream(1, sys.stdout), _stream(2, sys.stderr)


def delivered(code: int) -> int:
    """The exit code, once everything is printed: another one if the output refuses it.

    That a reader has left is no error, and nobody can be told that standard error is gone.
    """
    sys.stdout.flush()
    failure = sys.stdout.failure if isinstance(sys.stdout, Stream) else None
    if failure is None or failure.errno == errno.EPIPE:
        return code
    print(f"standard output cannot be written: {failure.strerror}", file=sys.stderr)
    return code or BAD_INPUT


def spelt(text: str, encoding: str) -> str:
    """A text as it will stand where it is written: characters that an encoding lacks are spelt."""
    return text.encode(encoding, "spelt").decode(encoding)


def _occupy() -> None:
    """Let no file of ours become a standard stream that was closed; writing there fails."""
    for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        if stream is None:
            os.open(os.devnull, os.O_RDONLY)  # gets the lowest number that is free


def _stream(descriptor: int, stream: TextIO | None) -> Stream:
    if stream is None:  # closed from the start
        return Stream(open(descriptor, "wb", closefd=False), "utf-8", "spelt")
    assert isinstance(stream, io.TextIOWrapper)
    return Stream(
        stream.buffer,
        stream.encoding,
        "spelt",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _spell(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding lacks, and where to go on; handles errors."""
    assert isinstance(error, UnicodeEncodeError)
    wrong = error.object[error.start : error.end]
    return "".join(map(_ascii, wrong)), error.end


def _ascii(character: str) -> str:
    """A character in ASCII: γ is gamma, ² is ^2, é is e, and what has no such spelling ?."""
    name = unicodedata.name(character, "")
    parts = unicodedata.decomposition(character)
    if character in SPELT:
        return SPELT[character]
    if name.startswith("GREEK"):
        word = name.split(" WITH ")[0].split()[-1]
        return word.capitalize() if "CAPITAL" in name else word.lower()
    if unicodedata.combining(character):
        return ""
    plain = unicodedata.normalize("NFKD", character).replace("⁄", "/")
    plain = plain.encode("ascii", "ignore").decode()
    return f"^{plain}" if plain and parts.startswith("<super>") else plain or "?"


register_error("spelt", _spell)
