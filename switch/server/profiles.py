"""Action profiles and selectors: members, groups, one-shot entries (specification, "ActionProfileMember ... &
ActionProfileGroup").

A profile is programmed either by members and groups, or by one-shot entries, never both at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from finsy.proto import p4r

from switch.engine import ActionProfile
from switch.entries import ActionSet, Choice, Group, Member, Target, WeightedAction
from switch.p4info import ProfileInfo
from switch.ports import PORT_BITS, Ports
from switch.server.actions import ActionCodec
from switch.server.status import exhausted, invalid, not_found, unimplemented
from switch.server.values import decode, encode

INSERT, MODIFY, DELETE = p4r.Update.INSERT, p4r.Update.MODIFY, p4r.Update.DELETE

ActionSetMessage = p4r.ActionProfileActionSet
Watcher = TypeVar("Watcher", p4r.ActionProfileGroup.Member, p4r.ActionProfileAction)


class Profile:
    """One action profile of a pipeline. Used under the device's lock; all methods raise RequestError, and the
    engine's errors.

    actions: what its tables can do.
    """

    def __init__(
        self, info: ProfileInfo, running: ActionProfile, actions: Iterable[ActionCodec], ports: Ports
    ) -> None:
        self.info = info
        self._name = info.name
        self._running = running
        self._actions: Mapping[int, ActionCodec] = {codec.action.id: codec for codec in actions}
        self._by_name = {codec.name: codec for codec in self._actions.values()}
        self._ports = ports
        self._group_sizes: dict[int, int] = {}
        self._one_shots = 0

    # ---- Members ----

    def write_member(self, kind: int, message: p4r.ActionProfileMember) -> None:
        """Insert, modify or delete."""
        number = message.member_id
        if number == 0:
            raise invalid(f"{self._name}: a member's id cannot be 0")
        if kind == DELETE:
            self._running.delete_member(number)
            return
        if not message.HasField("action"):
            raise invalid(f"{self._name}: member {number} needs an action")
        action, data = self._decode_action(message.action)
        if kind == INSERT:
            self._refuse_mixing(self._one_shots)
            self._running.insert_member(number, action, data)
        else:
            self._running.modify_member(number, action, data)

    def members(self, number: int) -> list[p4r.ActionProfileMember]:
        """One, or all for number 0."""
        found = self._running.members()
        if number and number not in found:
            raise not_found(f"{self._name} has no member {number}")
        return [
            p4r.ActionProfileMember(
                action_profile_id=self.info.id, member_id=id, action=self._by_name[action].encode(data)
            )
            for id, (action, data) in found.items()
            if number in (0, id)
        ]

    # ---- Groups ----

    def write_group(self, kind: int, message: p4r.ActionProfileGroup) -> None:
        """Insert, modify or delete."""
        number = message.group_id
        if not self.info.with_selector:
            raise invalid(f"{self._name} is no selector: it has no groups")
        if number == 0:
            raise invalid(f"{self._name}: a group's id cannot be 0")
        if kind == DELETE:
            self._running.delete_group(number)
            del self._group_sizes[number]
            return
        choices = [
            Choice(member.member_id, self._weight(member.weight), self._watch(member))
            for member in message.members
        ]
        size = message.max_size
        self._check_size(number, size)
        if self.info.counts_members and size and len(choices) > size:
            raise exhausted(f"{self._name}: group {number} has {len(choices)} members; its size is {size}")
        if kind == INSERT:
            self._refuse_mixing(self._one_shots)
            self._running.insert_group(number, choices, 0 if self.info.counts_members else size)
            self._group_sizes[number] = size
            return
        before = self._group_sizes.get(number, size)
        if size != before:
            raise invalid(f"{self._name}: the size of group {number} is {before} and cannot be changed")
        self._running.modify_group(number, choices)

    def _check_size(self, number: int, size: int) -> None:
        limit = self.info.max_group_size
        if size < 0 or (limit and not 0 < size <= limit):
            right = f"in 1..{limit}" if limit else "0 or more"
            raise invalid(f"{self._name}: max_size {size} of group {number} is not {right}")

    def groups(self, number: int) -> list[p4r.ActionProfileGroup]:
        """One, or all for number 0."""
        found = self._running.groups()
        if number and number not in found:
            raise not_found(f"{self._name} has no group {number}")
        return [
            p4r.ActionProfileGroup(
                action_profile_id=self.info.id,
                group_id=id,
                members=[
                    _watching(
                        choice.watch,
                        p4r.ActionProfileGroup.Member(
                            member_id=choice.member, weight=self._encode_weight(choice.weight)
                        ),
                    )
                    for choice in choices
                ],
                max_size=self._group_sizes[id],
            )
            for id, choices in found.items()
            if number in (0, id)
        ]

    # ---- Table entries ----

    def decode_target(self, table: str, action: p4r.TableAction) -> Target:
        """What an entry of one of the tables refers to."""
        match action.WhichOneof("type"):
            case "action_profile_member_id":
                self._refuse_mixing(self._one_shots)
                return Member(action.action_profile_member_id)
            case "action_profile_group_id":
                self._refuse_mixing(self._one_shots)
                return Group(action.action_profile_group_id)
            case "action_profile_action_set":
                self._refuse_mixing(len(self._running.members()) + len(self._group_sizes))
                return self._decode_set(action.action_profile_action_set)
            case _:
                raise invalid(f"the entries of {table} refer to members or groups of {self._name}")

    def _decode_set(self, message: ActionSetMessage) -> ActionSet:
        if not self.info.with_selector:
            raise invalid(f"{self._name} is no selector: it has members, and no sets of actions")
        self._check_modes(message)
        actions = [
            WeightedAction(*self._decode_action(one.action), self._weight(one.weight), self._watch(one))
            for one in message.action_profile_actions
        ]
        limit, heaviest = self.info.max_group_size, self.info.max_member_weight
        size = len(actions) if self.info.counts_members else sum(action.weight for action in actions)
        if limit and size > limit:
            raise invalid(f"{self._name}: the set's size of {size} is above {limit}")
        if self.info.counts_members and heaviest and any(action.weight > heaviest for action in actions):
            raise invalid(f"{self._name}: a weight is above {heaviest}")
        return ActionSet(tuple(actions))

    def _check_modes(self, message: ActionSetMessage) -> None:
        if message.action_selection_mode == ActionSetMessage.RANDOM:
            raise unimplemented(f"{self._name}: this switch selects by hash, as the program says")
        own = ActionSetMessage.SUM_OF_MEMBERS if self.info.counts_members else ActionSetMessage.SUM_OF_WEIGHTS
        if message.size_semantics not in (ActionSetMessage.DEFAULT_SIZE_DETERMINED_BY_ACTION_SELECTOR, own):
            raise unimplemented(f"{self._name}: the size of sets is counted as the P4Info says")

    def encode_target(self, target: Target) -> p4r.TableAction:
        match target:
            case Member(number):
                return p4r.TableAction(action_profile_member_id=number)
            case Group(number):
                return p4r.TableAction(action_profile_group_id=number)
            case ActionSet(actions):
                encoded = [
                    _watching(
                        one.watch,
                        p4r.ActionProfileAction(
                            action=self._by_name[one.action].encode(one.data),
                            weight=self._encode_weight(one.weight),
                        ),
                    )
                    for one in actions
                ]
                return p4r.TableAction(
                    action_profile_action_set=ActionSetMessage(action_profile_actions=encoded)
                )

    def exchanged(self, before: Target | None, after: Target | None) -> None:
        """An entry refers to the one after now, and no more to the one before."""
        self._one_shots += isinstance(after, ActionSet) - isinstance(before, ActionSet)

    # ---- Parts ----

    def _refuse_mixing(self, others: int) -> None:
        if others:
            raise invalid(
                f"{self._name}: members and groups, and one-shot entries, cannot be used at the same time"
            )

    def _decode_action(self, message: p4r.Action) -> tuple[str, tuple[int, ...]]:
        codec = self._actions.get(message.action_id)
        if codec is None:
            raise invalid(f"{self._name} has no action with id {message.action_id}")
        if not codec.choice.for_entries:
            raise invalid(f"{self._name}: action {codec.name} may not be used in entries")
        return codec.name, codec.decode(message.params)

    def _weight(self, weight: int) -> int:
        if self.info.weights_disallowed:
            if weight:
                raise invalid(f"{self._name}: the P4Info disallows weights")
            return 1
        if weight <= 0:
            raise invalid(f"{self._name}: the weight {weight} is not at least 1")
        return weight

    def _encode_weight(self, weight: int) -> int:
        return 0 if self.info.weights_disallowed else weight

    def _watch(self, message: p4r.ActionProfileGroup.Member | p4r.ActionProfileAction) -> int | None:
        """The watched port. The deprecated `watch` means none when it is 0, as in the reference switch."""
        if message.WhichOneof("watch_kind") == "watch":
            port = message.watch or None
        elif message.watch_port:
            port = decode(message.watch_port, PORT_BITS, f"{self._name}: a watched port")
        else:
            port = None
        if port is not None and not self._ports.is_possible(port):
            raise invalid(f"{self._name}: there is no port {port} to watch")
        return port


def _watching(port: int | None, message: Watcher) -> Watcher:
    """The message with the port; without one the field stays unset, which is not the same as empty."""
    if port is not None:
        message.watch_port = encode(port)
    return message


def profile_of(profiles: Mapping[int, Profile], id: int) -> Profile:
    """Raises RequestError when the P4Info has no such action profile."""
    if id not in profiles:
        raise invalid(f"there is no action profile with id {id}")
    return profiles[id]


def selected(profiles: Mapping[int, Profile], id: int) -> Sequence[Profile]:
    """One, or all for id 0. Raises RequestError."""
    return [profile_of(profiles, id)] if id else list(profiles.values())
