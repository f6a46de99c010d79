"""Tokens for the API by TCP: who has which role, from a file that holds digests only.

    # name  role   digest
    alice   write  sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

A token is 256 random bits, so that a plain digest of it tells nothing and nobody can guess it: the slow
hashes that passwords need would only let strangers keep the daemon busy.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from controller.errors import InvalidConfig, Problem

PREFIX = "sluice_"
"""What every token begins with, so that people and scanners of leaks know one when they see it."""

RANDOM_BYTES = 32

MAX_FILE = 2**20
"""Bytes."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]{0,62}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LINE = "a line is NAME, one of read, write and peer, and sha256:DIGEST, as `sluice api token NAME` prints it"


class Role(StrEnum):
    """What a caller may do: look, or change as well; or copy what there is, as the other one of a pair."""

    READ = "read"
    WRITE = "write"
    PEER = "peer"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may use the API; changes carry the name."""

    name: str
    role: Role


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def new_token() -> str:
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def digest(token: str) -> str:
    """As a file of tokens has it."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


class Tokens:
    """The callers by the digests of their tokens."""

    def __init__(self, callers: dict[str, Caller]) -> None:
        self._callers = callers

    def __len__(self) -> int:
        return len(self._callers)

    def caller(self, token: str) -> Caller | None:
        """Whose `token` is; every digest is compared, each in constant time."""
        given, found = digest(token), None
        for known, caller in self._callers.items():
            if hmac.compare_digest(known, given):
                found = caller
        return found

    @classmethod
    def load(cls, file: Path) -> "Tokens":
        """Raises InvalidConfig when the file cannot be read, others may read it, or a line is not right."""
        try:
            with file.open("rb") as stream:
                mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
                data = stream.read(MAX_FILE + 1)
        except OSError as error:
            raise _refused(file, f"cannot be read: {error.strerror}") from None
        if mode & 0o077:
            raise _refused(file, f"has mode {mode:04o}, so others may read or change it: chmod 600 {file}")
        if len(data) > MAX_FILE:
            raise _refused(file, f"is larger than {MAX_FILE >> 20} MB")
        try:
            return cls(dict(_callers(data.decode(), file)))
        except UnicodeDecodeError as error:
            raise _refused(file, f"is not UTF-8 text (byte {error.start})") from None


def _callers(text: str, file: Path) -> Iterator[tuple[str, Caller]]:
    names: dict[str, int] = {}
    digests: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        # Nothing of a line goes into a message: a token that was put in by mistake would be in the log.
        if len(words) != 3:
            raise _refused(file, f"{len(words)} words; {_LINE}", number)
        name, role, known = words
        if not is_name(name):
            raise _refused(file, "the name must be at most 63 letters, digits and ._@-", number)
        if role not in list(Role):
            raise _refused(file, "the role must be read, write or peer", number)
        if not _DIGEST.fullmatch(known):
            raise _refused(file, f"the third word is no digest (tokens themselves stay out); {_LINE}", number)
        if name in names:
            raise _refused(file, f"{name} is in line {names[name]} already", number)
        if known in digests:
            raise _refused(file, "the same token is in the file twice", number)
        names[name] = number
        digests.add(known)
        yield known, Caller(name, Role(role))
    if not names:
        raise _refused(file, f"has no token; {_LINE}")


def _refused(file: Path, message: str, line: int | None = None) -> InvalidConfig:
    return InvalidConfig([Problem("", message, line)], str(file))
