"""Value sets of the parser, of a running program."""

from collections.abc import Sequence
from typing import Any

from switch.compiler.layout import WORD_BYTES, words_of
from switch.compiler.model import ValueSet as Declared
from switch.compiler.widths import ones
from switch.entries import Ternary
from switch.errors import BadEntry, EntryExists, NoSuchEntry, TableFull
from switch.guard import Guard


class ValueSet:
    """One value set. All methods may be called by any thread.

    A member is a Ternary over all parts of the select key side by side, the first part in the highest of the
    `bits`; an exact value has all bits in its mask. size: the most members.
    """

    def __init__(self, declared: Declared, number: int, library: Any, state: int, guard: Guard) -> None:
        """number: of its table in the C program."""
        self.name = declared.name
        self.bits = declared.bits
        self.size = declared.size
        self._bytes = words_of(declared) * WORD_BYTES
        self._number = number
        self._library = library
        self._state = state
        self._guard = guard
        self._handles: dict[Ternary, int] = {}

    def insert(self, member: Ternary) -> None:
        """Raises EntryExists, TableFull or BadEntry."""
        with self._guard:
            self._check(member)
            if member in self._handles:
                raise EntryExists(f"{self.name} already has the member {member}")
            if len(self._handles) >= self.size:
                raise TableFull(f"{self.name} has {self.size} members already, which is its size")
            self._insert(member)

    def delete(self, member: Ternary) -> None:
        """Raises NoSuchEntry or BadEntry."""
        with self._guard:
            self._check(member)
            if member not in self._handles:
                raise NoSuchEntry(f"{self.name} has no member {member}")
            self._remove(member)

    def replace(self, members: Sequence[Ternary]) -> None:
        """Make these the members (P4Runtime's MODIFY); those that stay are never missing meanwhile.

        Raises TableFull or BadEntry, and changes nothing then.
        """
        with self._guard:
            for member in members:
                self._check(member)
            if len(set(members)) > self.size:
                raise TableFull(f"{self.name} has room for {self.size} members, not {len(set(members))}")
            for member in members:
                if member not in self._handles:
                    self._insert(member)
            for member in self._handles.keys() - set(members):
                self._remove(member)

    def members(self) -> list[Ternary]:
        """In the order of insertion."""
        with self._guard:
            return list(self._handles)

    def _check(self, member: Ternary) -> None:
        limit = ones(self.bits)
        if not 0 <= member.mask <= limit or member.value & ~member.mask:
            raise BadEntry(f"{self.name} has {self.bits} bits; {member} does not fit them")

    def _insert(self, member: Ternary) -> None:
        words = b"".join(number.to_bytes(self._bytes, "little") for number in (member.value, member.mask))
        handle = self._library.core_table_insert(self._state, self._number, words, 0, 0, None, 0, 0)
        if not handle:
            raise MemoryError("no memory for a value set")
        self._handles[member] = handle

    def _remove(self, member: Ternary) -> None:
        if not self._library.core_table_remove(self._state, self._number, self._handles[member]):
            raise MemoryError("no memory for a value set")
        del self._handles[member]
