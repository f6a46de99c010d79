"""Action profiles: members (actions that entries share) and groups of them, of a running program.

A packet that hits an entry with a group takes member number `hash % shares`, counted in ascending order of
the members' ids with each as often as its weight says, without those whose watched port is down.
(simple_switch counts in the order of handles, which is that of creation.) When there is none left, no action
runs, `Engine.drops` counts it, and the packet goes on.

Changes of a group are atomic: a packet sees all of its members as before, or all as after.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from switch.compiler.model import Action
from switch.compiler.model import ActionProfile as Declared
from switch.entries import ActionSet, Choice, Group, Member, Target, WeightedAction
from switch.errors import BadEntry, EntryExists, InUse, NoSuchEntry, TableFull
from switch.guard import Guard
from switch.packing import DataPacker

MAX_WEIGHT = 1 << 16
"""Shares of one group: a bound for the list that holds each member as often as its weight."""


@dataclass(slots=True)
class _Member:
    action: str
    data: tuple[int, ...]
    address: int
    uses: int = 0


@dataclass(slots=True)
class _Group:
    choices: tuple[Choice, ...]
    size: int
    address: int
    uses: int = 0


@dataclass(slots=True)
class Holding:
    """What an entry's target keeps in use, and the two addresses of `struct target`."""

    member: int = 0
    group: int = 0
    release: Callable[[], None] = field(default=lambda: None)


class ActionProfile:
    """One action profile. All methods may be called by any thread.

    tables: those whose entries refer to it. size: the most members (those of one-shot entries included),
    0 for any number. has_groups: whether it is a selector.
    """

    def __init__(
        self,
        declared: Declared,
        tables: Sequence[str],
        actions: Mapping[str, tuple[int, Action]],
        library: Any,
        state: int,
        guard: Guard,
    ) -> None:
        """actions: what its tables can do, with the actions' numbers in the C program."""
        self.name = declared.name
        self.size = declared.size
        self.has_groups = declared.selector is not None
        self.tables = tuple(tables)
        self.actions = tuple(actions)
        self._packers = {name: (number, DataPacker(action)) for name, (number, action) in actions.items()}
        self._library = library
        self._state = state
        self._guard = guard
        self._members: dict[int, _Member] = {}
        self._groups: dict[int, _Group] = {}
        self._own: list[tuple[list[_Member], _Group]] = []  # of one-shot entries
        self._down: set[int] = set()

    # Members.

    def insert_member(self, member: int, action: str, data: Sequence[int]) -> None:
        """Raises EntryExists, TableFull or BadEntry."""
        with self._guard:
            if member in self._members:
                raise EntryExists(f"{self.name} already has a member {member}")
            self._check_room(1)
            self._members[member] = self._new_member(action, tuple(data))

    def modify_member(self, member: int, action: str, data: Sequence[int]) -> None:
        """Give a member another action, in all entries and groups that refer to it.

        Raises NoSuchEntry or BadEntry.
        """
        with self._guard:
            found = self._member(member)
            self._set_member(found.address, action, tuple(data))
            found.action, found.data = action, tuple(data)

    def delete_member(self, member: int) -> None:
        """Raises NoSuchEntry, or InUse while an entry or group refers to it."""
        with self._guard:
            found = self._member(member)
            if found.uses:
                raise InUse(f"{self.name}: {found.uses} entries and groups refer to member {member}")
            self._library.profile_member_retire(self._state, found.address)
            del self._members[member]

    def members(self) -> dict[int, tuple[str, tuple[int, ...]]]:
        """(action, data) of every member by its id."""
        with self._guard:
            return {number: (m.action, m.data) for number, m in sorted(self._members.items())}

    # Groups.

    def insert_group(self, group: int, choices: Sequence[Choice], size: int = 0) -> None:
        """size: the most shares (sum of weights), 0 for any number.

        Raises EntryExists, NoSuchEntry (a member), TableFull or BadEntry.
        """
        with self._guard:
            if not self.has_groups:
                raise BadEntry(f"{self.name} is no selector: it has members, no groups")
            if group in self._groups:
                raise EntryExists(f"{self.name} already has a group {group}")
            members = self._chosen(choices, size)
            address = _checked(self._library.profile_group_new())
            found = _Group(tuple(choices), size, address)
            self._publish(found, self._members)
            self._groups[group] = found
            _use(members, 1)

    def modify_group(self, group: int, choices: Sequence[Choice], size: int | None = None) -> None:
        """size: as it was, or None; it cannot be changed (P4Runtime, section 9.2.2).

        Raises NoSuchEntry (the group or a member), TableFull or BadEntry.
        """
        with self._guard:
            found = self._group(group)
            if size is not None and size != found.size:
                raise BadEntry(
                    f"{self.name}: the size of group {group} is {found.size} and cannot be changed"
                )
            members = self._chosen(choices, found.size)
            before, found.choices = found.choices, tuple(choices)
            try:
                self._publish(found, self._members)
            except MemoryError:
                found.choices = before
                raise
            _use(members, 1)
            _use([self._members[choice.member] for choice in before], -1)

    def delete_group(self, group: int) -> None:
        """Raises NoSuchEntry, or InUse while an entry refers to it."""
        with self._guard:
            found = self._group(group)
            if found.uses:
                raise InUse(f"{self.name}: {found.uses} entries refer to group {group}")
            self._library.profile_group_retire(self._state, found.address)
            _use([self._members[choice.member] for choice in found.choices], -1)
            del self._groups[group]

    def groups(self) -> dict[int, tuple[Choice, ...]]:
        """Every group's choices by its id."""
        with self._guard:
            return {number: g.choices for number, g in sorted(self._groups.items())}

    def group_size(self, group: int) -> int:
        """As it was inserted. Raises NoSuchEntry."""
        with self._guard:
            return self._group(group).size

    # For the engine and its tables, which hold the lock.

    def set_port(self, port: int, *, up: bool) -> None:
        """Members that watch the port take part again, or no more."""
        self._down = self._down - {port} if up else self._down | {port}
        for group in self._groups.values():
            if any(choice.watch == port for choice in group.choices):
                self._publish(group, self._members)
        for members, group in self._own:
            if any(choice.watch == port for choice in group.choices):
                self._publish(group, dict(enumerate(members)))

    def hold(self, target: Target) -> Holding:
        """Keeps what the target names from being removed, until it is released.

        Raises NoSuchEntry, TableFull or BadEntry.
        """
        match target:
            case Member(number):
                member = self._member(number)
                member.uses += 1
                return Holding(member=member.address, release=lambda: _use([member], -1))
            case Group(number):
                group = self._group(number)
                group.uses += 1
                return Holding(group=group.address, release=lambda: _use([group], -1))
            case ActionSet(actions):
                return self._hold_own(actions)

    def close(self) -> None:
        """Nobody is processing, and the state is about to end."""
        for group in (*self._groups.values(), *(group for _, group in self._own)):
            self._library.profile_group_retire(self._state, group.address)
        for member in (*self._members.values(), *(m for members, _ in self._own for m in members)):
            self._library.profile_member_retire(self._state, member.address)
        self._members, self._groups, self._own = {}, {}, []

    def _hold_own(self, actions: Sequence[WeightedAction]) -> Holding:
        if not self.has_groups:
            raise BadEntry(f"{self.name} is no selector: an entry names one of its members")
        choices = [Choice(place, a.weight, a.watch) for place, a in enumerate(actions)]
        if not choices:
            raise BadEntry(f"{self.name}: a set of actions must not be empty")
        _check_weights(self.name, choices, 0)
        self._check_room(len(choices))
        for action in actions:  # all are checked before anything is made
            self._packed(action.action, action.data)
        members = [self._new_member(a.action, a.data) for a in actions]
        group = _Group(tuple(choices), 0, _checked(self._library.profile_group_new()))
        self._publish(group, dict(enumerate(members)))
        own = (members, group)
        self._own.append(own)

        def release() -> None:
            self._own.remove(own)
            self._library.profile_group_retire(self._state, group.address)
            for member in members:
                self._library.profile_member_retire(self._state, member.address)

        return Holding(group=group.address, release=release)

    # Checks and the C side.

    def _check_room(self, more: int) -> None:
        held = len(self._members) + sum(len(members) for members, _ in self._own)
        if self.size and held + more > self.size:
            raise TableFull(
                f"{self.name} has {held} of {self.size} members; there is no room for {more} more"
            )

    def _member(self, number: int) -> _Member:
        if number not in self._members:
            raise NoSuchEntry(f"{self.name} has no member {number}")
        return self._members[number]

    def _group(self, number: int) -> _Group:
        if number not in self._groups:
            raise NoSuchEntry(f"{self.name} has no group {number}")
        return self._groups[number]

    def _packed(self, action: str, data: tuple[int, ...]) -> tuple[int, bytes]:
        if action not in self._packers:
            raise BadEntry(f"{self.name} has no action '{action}' (it has {', '.join(self.actions)})")
        number, packer = self._packers[action]
        return number, packer.pack(data)

    def _new_member(self, action: str, data: tuple[int, ...]) -> _Member:
        self._packed(action, data)
        member = _Member(action, data, _checked(self._library.profile_member_new()))
        self._set_member(member.address, action, data)
        return member

    def _set_member(self, address: int, action: str, data: tuple[int, ...]) -> None:
        number, packed = self._packed(action, data)
        _checked(self._library.profile_member_set(self._state, address, number, packed, len(packed)))

    def _chosen(self, choices: Sequence[Choice], size: int) -> list[_Member]:
        _check_weights(self.name, choices, size)
        if len({choice.member for choice in choices}) < len(choices):
            raise BadEntry(f"{self.name}: a group names a member twice; give it a weight instead")
        return [self._member(choice.member) for choice in choices]

    def _publish(self, group: _Group, members: Mapping[int, _Member]) -> None:
        active = sorted((c for c in group.choices if c.watch not in self._down), key=lambda c: c.member)
        addresses = [members[c.member].address for c in active for _ in range(c.weight)]
        array = (ctypes.c_void_p * len(addresses))(*addresses)
        _checked(self._library.profile_group_set(self._state, group.address, array, len(addresses)))


def _check_weights(name: str, choices: Sequence[Choice], size: int) -> None:
    for choice in choices:
        if choice.weight < 1:
            raise BadEntry(f"{name}: the weight {choice.weight} is not at least 1")
    shares = sum(choice.weight for choice in choices)
    if shares > (size or MAX_WEIGHT):
        raise TableFull(f"{name}: {shares} shares are more than the group's size of {size or MAX_WEIGHT}")


def _use(objects: Sequence[_Member | _Group], by: int) -> None:
    for one in objects:
        one.uses += by


def _checked(result: int) -> int:
    if not result:
        raise MemoryError("no memory for an action profile")
    return result
