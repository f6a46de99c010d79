"""gNMI, as far as a controller needs it to see links go down and come up: reading and watching interfaces.

gNMI specification 0.10: Capabilities, Get, and Subscribe in all three modes. There is nothing to set.
"""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

import grpc
from finsy.proto import gnmi, gnmi_grpc

from switch.ports import Port
from switch.server.device import DataPlane
from switch.server.interfaces import (
    ANY,
    LEAVES,
    Element,
    Leaf,
    Value,
    elements,
    exists,
    path_of,
    selects,
)
from switch.server.status import RequestError, grpc_code, invalid, not_found, unimplemented

GNMI_VERSION = "0.10.0"
MODELS = (
    gnmi.ModelData(name="openconfig-interfaces", organization="OpenConfig working group", version="3.0.0"),
    gnmi.ModelData(name="openconfig-p4rt", organization="OpenConfig working group", version="1.0.0"),
)
ENCODINGS = (gnmi.Encoding.PROTO, gnmi.Encoding.JSON, gnmi.Encoding.JSON_IETF)

SHORTEST_INTERVAL_NS = 100_000_000  # of samples; who asks for less, or leaves it to us, gets this

Query = tuple[Element, ...]


class InterfaceService(gnmi_grpc.gNMIServicer):
    """max_watchers: subscriptions at a time; each keeps one of the server's threads."""

    def __init__(self, data_plane: DataPlane, max_watchers: int) -> None:
        self._data_plane = data_plane
        self._ports = data_plane.ports
        self._places = threading.Semaphore(max_watchers)
        self._watchers: set[_Watcher] = set()
        self._stopping = False

    def Capabilities(
        self, request: gnmi.CapabilityRequest, context: grpc.ServicerContext
    ) -> gnmi.CapabilityResponse:
        return gnmi.CapabilityResponse(
            supported_models=MODELS, supported_encodings=ENCODINGS, gNMI_version=GNMI_VERSION
        )

    def Get(self, request: gnmi.GetRequest, context: grpc.ServicerContext) -> gnmi.GetResponse:
        kinds = gnmi.GetRequest
        leaves = [
            leaf
            for leaf in LEAVES
            if request.type == kinds.ALL or leaf.is_config == (request.type == kinds.CONFIG)
        ]
        try:
            _check_encoding(request.encoding)
            queries = [_query(request.prefix, path) for path in request.path]
            found = [self._found(query, leaves) for query in queries]
        except RequestError as error:
            _abort(context, error)
        now = time.time_ns()
        return gnmi.GetResponse(
            notification=[self._notification(now, leaves, request.encoding) for leaves in found]
        )

    def Set(self, request: gnmi.SetRequest, context: grpc.ServicerContext) -> gnmi.SetResponse:
        _abort(context, unimplemented("the interfaces of this switch are those of its host: ip link set"))

    def Subscribe(
        self, request_iterator: Iterator[gnmi.SubscribeRequest], context: grpc.ServicerContext
    ) -> Iterator[gnmi.SubscribeResponse]:
        if not self._places.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many subscriptions at a time")
        try:
            wanted = _subscriptions(next(request_iterator, None))
            modes = gnmi.SubscriptionList
            if wanted.mode == modes.STREAM:
                yield from self._stream(wanted, context)
                return
            yield from self._snapshot(wanted)
            if wanted.mode == modes.POLL:
                for request in request_iterator:
                    if request.WhichOneof("request") != "poll":
                        raise invalid("a subscription of mode POLL takes polls only")
                    yield from self._snapshot(wanted)
        except RequestError as error:
            _abort(context, error)
        finally:
            self._places.release()

    def end(self) -> None:
        """Ends all subscriptions."""
        self._stopping = True
        for watcher in tuple(self._watchers):
            watcher.close()

    def _found(self, query: Query, leaves: Sequence[Leaf] = LEAVES) -> list[tuple[Port, Leaf]]:
        """Raises RequestError (NOT_FOUND) when nothing can ever be there."""
        if not exists(query):
            raise not_found("there is nothing at this path; there is interfaces/interface[name=*]/state")
        ports = self._ports.all()
        named = {element.key for element in query} - {ANY}
        for name in named:
            if all(port.name != name for port in ports):
                raise not_found(f"there is no interface {name}")
        return [(port, leaf) for port in ports for leaf in leaves if selects(query, port, leaf)]

    def _snapshot(self, wanted: "_Wanted") -> Iterator[gnmi.SubscribeResponse]:
        if not wanted.updates_only:
            for subscription in wanted.subscriptions:
                yield self._update(self._found(subscription.query), wanted.encoding)
        yield gnmi.SubscribeResponse(sync_response=True)

    def _stream(self, wanted: "_Wanted", context: grpc.ServicerContext) -> Iterator[gnmi.SubscribeResponse]:
        watcher = _Watcher()
        # Listen first: what changes while the snapshot is taken is told twice rather than not at all.
        stop = self._ports.listen(watcher.tell)
        self._watchers.add(watcher)
        try:
            if self._stopping or not context.add_callback(watcher.close):
                return
            yield from self._snapshot(wanted)
            due = {
                subscription: time.monotonic_ns() + subscription.interval_ns
                for subscription in wanted.subscriptions
                if subscription.interval_ns
            }
            while not watcher.closed:
                changed = watcher.wait(min(due.values(), default=None))
                yield from self._changes(wanted, changed)
                now = time.monotonic_ns()
                for subscription in [one for one, when in due.items() if when <= now]:
                    due[subscription] = now + subscription.interval_ns
                    yield self._update(self._found(subscription.query), wanted.encoding)
        finally:
            stop()
            self._watchers.discard(watcher)

    def _changes(self, wanted: "_Wanted", changed: list[Port]) -> Iterator[gnmi.SubscribeResponse]:
        for port in changed:
            leaves = [
                (port, leaf)
                for leaf in LEAVES
                if leaf.changes
                and any(one.on_change and selects(one.query, port, leaf) for one in wanted.subscriptions)
            ]
            if leaves:
                yield self._update(leaves, wanted.encoding)

    def _update(self, leaves: list[tuple[Port, Leaf]], encoding: int) -> gnmi.SubscribeResponse:
        return gnmi.SubscribeResponse(update=self._notification(time.time_ns(), leaves, encoding))

    def _notification(self, now: int, leaves: list[tuple[Port, Leaf]], encoding: int) -> gnmi.Notification:
        counted = self._data_plane.counts().ports
        return gnmi.Notification(
            timestamp=now,
            update=[
                gnmi.Update(
                    path=path_of(port, leaf),
                    val=_typed(leaf.value(port, counted.get(port.number, {})), encoding),
                )
                for port, leaf in leaves
            ],
        )


class _Watcher:
    """The changes that a subscriber has not been told yet: the last of each port: they are bounded."""

    def __init__(self) -> None:
        self._changed: dict[int, Port] = {}
        self._condition = threading.Condition()
        self.closed = False

    def tell(self, port: Port) -> None:
        with self._condition:
            self._changed[port.number] = port
            self._condition.notify()

    def close(self) -> None:
        with self._condition:
            self.closed = True
            self._condition.notify()

    def wait(self, until_ns: int | None) -> list[Port]:
        """The changes, as soon as there are any; none at that time (of time.monotonic_ns) or when closed."""
        with self._condition:
            while not self._changed and not self.closed:
                left = None if until_ns is None else (until_ns - time.monotonic_ns()) / 1e9
                if left is not None and left <= 0:
                    break
                self._condition.wait(left)
            changed = list(self._changed.values())
            self._changed.clear()
            return changed


@dataclass(frozen=True, slots=True)
class _Subscription:
    """interval_ns: how often to tell everything again (a sample, or a heartbeat); 0: never."""

    query: Query
    on_change: bool
    interval_ns: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    mode: int
    encoding: int
    updates_only: bool
    subscriptions: tuple[_Subscription, ...]


def _subscriptions(request: gnmi.SubscribeRequest | None) -> _Wanted:
    """Raises RequestError."""
    if request is None or request.WhichOneof("request") != "subscribe":
        raise invalid("a subscription begins with a SubscriptionList")
    listed = request.subscribe
    _check_encoding(listed.encoding)
    # JSON is number 0, and so what a client has that names no encoding. finsy and others who do so expect a
    # leaf's value as it is.
    unnamed = listed.encoding == gnmi.Encoding.JSON
    return _Wanted(
        listed.mode,
        gnmi.Encoding.PROTO if unnamed else listed.encoding,
        listed.updates_only,
        tuple(_subscription(listed.prefix, one) for one in listed.subscription),
    )


def _subscription(prefix: gnmi.Path, one: gnmi.Subscription) -> _Subscription:
    sampled = one.mode == gnmi.SubscriptionMode.SAMPLE
    interval = one.sample_interval if sampled else one.heartbeat_interval
    if sampled or interval:
        interval = max(interval, SHORTEST_INTERVAL_NS)
    return _Subscription(_query(prefix, one.path), on_change=not sampled, interval_ns=interval)


def _query(prefix: gnmi.Path, path: gnmi.Path) -> Query:
    origin = path.origin or prefix.origin
    if origin not in ("", "openconfig"):
        raise unimplemented(f"this switch has OpenConfig's tree only, not {origin}")
    try:
        return elements(prefix, path)
    except ValueError as error:
        raise invalid(str(error)) from error


def _check_encoding(encoding: int) -> None:
    if encoding not in ENCODINGS:
        known = ", ".join(gnmi.Encoding.Name(known) for known in ENCODINGS)
        raise unimplemented(f"this switch encodes values as {known}")


def _typed(value: Value, encoding: int) -> gnmi.TypedValue:
    if encoding == gnmi.Encoding.JSON:
        return gnmi.TypedValue(json_val=json.dumps(value).encode())
    if encoding == gnmi.Encoding.JSON_IETF:
        return gnmi.TypedValue(json_ietf_val=json.dumps(value).encode())
    return gnmi.TypedValue(string_val=value) if isinstance(value, str) else gnmi.TypedValue(uint_val=value)


def _abort(context: grpc.ServicerContext, error: RequestError) -> NoReturn:
    context.abort(grpc_code(error.code), error.message)
