"""Digests: which are wanted, and their way into lists (P4Runtime specification, "DigestEntry").

A list is sent when it is full or old enough. What was sent is not sent again before it is acknowledged or the
time for that is over. Times are nanoseconds of any clock that does not go back.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from finsy.proto import p4d, p4r, rpc_code

from switch.p4info import DigestField, DigestInfo, DigestType
from switch.server.status import RequestError, invalid, not_found
from switch.server.values import encode, encode_signed

Values = tuple[int, ...]


# What is remembered as sent and not acknowledged, for a controller that never acknowledges.
UNACKNOWLEDGED_LISTS = 4096


@dataclass
class _Learning:
    """One digest that the controller asked for."""

    info: DigestInfo
    config: p4r.DigestEntry.Config
    waiting: dict[Values, None] = field(default_factory=dict)  # a set that keeps the order
    waiting_since: int = 0
    sent: dict[int, tuple[int, list[Values]]] = field(default_factory=dict)  # list id -> when, what
    unacknowledged: set[Values] = field(default_factory=set)  # what is in `sent`
    last_list: int = 0

    def learn(self, values: Values, now: int) -> None:
        if values in self.waiting or values in self.unacknowledged:
            return
        if not self.waiting:
            self.waiting_since = now
        self.waiting[values] = None

    def is_due(self, now: int) -> bool:
        full = 0 < self.config.max_list_size <= len(self.waiting)
        return bool(self.waiting) and (full or now - self.waiting_since >= self.config.max_timeout_ns)

    def next_list(self, now: int) -> p4r.DigestList:
        size = self.config.max_list_size or len(self.waiting)
        if self.config.max_timeout_ns == 0:
            size = 1  # the specification asks for one list for every digest then
        self.last_list += 1
        listed = list(islice(self.waiting, size))
        for values in listed:
            del self.waiting[values]
        if self.config.ack_timeout_ns:
            self.unacknowledged.update(listed)
            self.sent[self.last_list] = (now, listed)
            if len(self.sent) > UNACKNOWLEDGED_LISTS:
                self.acknowledge(next(iter(self.sent)))
        return p4r.DigestList(
            digest_id=self.info.id, list_id=self.last_list, data=[self._data(values) for values in listed]
        )

    def _data(self, values: Values) -> p4d.P4Data:
        members = [_value(field, value) for field, value in zip(self.info.fields, values, strict=True)]
        return p4d.P4Data(struct=p4d.P4StructLike(members=members)) if self.info.struct else members[0]

    def acknowledge(self, list_id: int) -> None:
        if list_id in self.sent:
            _, listed = self.sent.pop(list_id)
            self.unacknowledged.difference_update(listed)

    def expire(self, now: int) -> None:
        for list_id, (when, _) in list(self.sent.items()):
            if now - when < self.config.ack_timeout_ns:
                break  # the later ones are younger
            self.acknowledge(list_id)


class DigestLists:
    """All digests of a pipeline. Any thread may call any method."""

    def __init__(self, digests: Mapping[int, DigestInfo]) -> None:
        self._digests = digests
        self._learning: dict[int, _Learning] = {}
        self._lock = threading.Lock()

    @property
    def wanted(self) -> bool:
        """Whether the controller asked for any digest."""
        return bool(self._learning)

    # ---- Configuration: DigestEntry. All raise RequestError. ----

    def insert(self, entry: p4r.DigestEntry) -> None:
        info = self._info(entry.digest_id)
        config = _checked(entry.config, info.name)
        with self._lock:
            if entry.digest_id in self._learning:
                raise RequestError(rpc_code.ALREADY_EXISTS, f"digest {info.name} is already enabled")
            self._learning[entry.digest_id] = _Learning(info, config)

    def modify(self, entry: p4r.DigestEntry) -> None:
        config = _checked(entry.config, self._info(entry.digest_id).name)
        with self._lock:
            self._enabled(entry.digest_id).config = config

    def delete(self, entry: p4r.DigestEntry) -> None:
        with self._lock:
            self._enabled(entry.digest_id)
            del self._learning[entry.digest_id]

    def entries(self, digest_id: int) -> list[p4r.DigestEntry]:
        """The configuration of one digest, or of all that are enabled (id 0)."""
        with self._lock:
            wanted = [self._enabled(digest_id)] if digest_id else list(self._learning.values())
        return [p4r.DigestEntry(digest_id=one.info.id, config=one.config) for one in wanted]

    def _info(self, digest_id: int) -> DigestInfo:
        if digest_id not in self._digests:
            raise invalid(f"there is no digest with id {digest_id}")
        return self._digests[digest_id]

    def _enabled(self, digest_id: int) -> _Learning:
        info = self._info(digest_id)
        if digest_id not in self._learning:
            raise not_found(f"digest {info.name} is not enabled")
        return self._learning[digest_id]

    # ---- Data ----

    def learn(self, digests: Iterable[tuple[str, Values]], now: int) -> None:
        """Takes in what the program sent: (learn list, values)."""
        with self._lock:
            by_name = {one.info.name: one for one in self._learning.values()}
            for name, values in digests:
                if name in by_name:
                    by_name[name].learn(values, now)

    def due(self, now: int) -> list[p4r.DigestList]:
        """The lists that are to be sent now."""
        lists = []
        with self._lock:
            for one in self._learning.values():
                one.expire(now)
                while one.is_due(now):
                    lists.append(one.next_list(now))
        return lists

    def acknowledge(self, ack: p4r.DigestListAck) -> None:
        """Raises RequestError when there is no such digest. A list may have timed out: that is no error."""
        self._info(ack.digest_id)
        with self._lock:
            if ack.digest_id in self._learning:
                self._learning[ack.digest_id].acknowledge(ack.list_id)


def _value(field: DigestField, value: int) -> p4d.P4Data:
    match field.type:
        case DigestType.BOOL:
            return p4d.P4Data(bool=bool(value))
        case DigestType.INT:
            return p4d.P4Data(bitstring=encode_signed(value, field.bits))
        case DigestType.BIT:
            return p4d.P4Data(bitstring=encode(value))


def _checked(config: p4r.DigestEntry.Config, name: str) -> p4r.DigestEntry.Config:
    if config.max_timeout_ns < 0 or config.max_list_size < 0 or config.ack_timeout_ns < 0:
        raise invalid(f"digest {name}: timeouts and list size cannot be negative")
    copy = p4r.DigestEntry.Config()
    copy.CopyFrom(config)  # a reference would keep the whole request
    return copy
