"""gNMI: the ports as interfaces, read and watched."""

import queue
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from finsy.gnmipath import GNMIPath
from finsy.proto import gnmi, gnmi_grpc

from switch.ports import Port
from switch.server.server import MAX_WATCHERS
from tests.switch.client import DEADLINE
from tests.switch.conftest import Running
from tests.switch.patience import eventually

OPER_STATUS = "interfaces/interface[name=*]/state/oper-status"
IFINDEX = "interfaces/interface[name=*]/state/ifindex"


@pytest.fixture
def ports(switch: Running) -> Running:
    switch.data_plane.ports.add(Port(1, "eth1"))
    switch.data_plane.ports.add(Port(2, "eth2", up=False))
    return switch


@pytest.fixture
def stub(ports: Running) -> Iterator[gnmi_grpc.gNMIStub]:
    with grpc.insecure_channel(ports.address) as channel:
        yield gnmi_grpc.gNMIStub(channel)


def path(text: str) -> gnmi.Path:
    return GNMIPath(text).path


def updates(notification: gnmi.Notification) -> dict[str, Any]:
    """Path -> value."""
    return {
        str(GNMIPath(update.path)): getattr(update.val, update.val.WhichOneof("value") or "")
        for update in notification.update
    }


def get(stub: gnmi_grpc.gNMIStub, *paths: str, **fields: Any) -> list[dict[str, Any]]:
    request = gnmi.GetRequest(
        path=[path(text) for text in paths], **{"encoding": gnmi.Encoding.PROTO, **fields}
    )
    return [updates(notification) for notification in stub.Get(request, timeout=DEADLINE).notification]


def refused(attempt: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        attempt()
    assert isinstance(caught.value, grpc.Call)
    return caught.value.code()


def status(name: str) -> str:
    return f"interfaces/interface[name={name}]/state/oper-status"


COUNTERS = (
    "carrier-transitions",
    "in-pkts",
    "in-octets",
    "in-discards",
    "out-pkts",
    "out-octets",
    "out-discards",
)


def counter(name: str) -> str:
    return f"interfaces/interface[name=eth1]/state/counters/{name}"


UP_AND_DOWN = {status("eth1"): "UP", status("eth2"): "DOWN"}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (OPER_STATUS, UP_AND_DOWN),
        ("interfaces/interface/state/oper-status", UP_AND_DOWN),
        ("interfaces/*[name=*]/*/oper-status", UP_AND_DOWN),
        (".../oper-status", UP_AND_DOWN),
        (status("eth2"), {status("eth2"): "DOWN"}),
        (
            IFINDEX,
            {
                "interfaces/interface[name=eth1]/state/ifindex": 1,
                "interfaces/interface[name=eth2]/state/ifindex": 2,
            },
        ),
        (
            "interfaces/interface[name=eth1]/state",
            {
                "interfaces/interface[name=eth1]/state/name": "eth1",
                "interfaces/interface[name=eth1]/state/ifindex": 1,
                "interfaces/interface[name=eth1]/state/id": 1,
                "interfaces/interface[name=eth1]/state/oper-status": "UP",
                "interfaces/interface[name=eth1]/state/last-change": 0,
                **{counter(name): 0 for name in COUNTERS},
            },
        ),
        (counter("in-octets"), {counter("in-octets"): 0}),
    ],
)
def test_what_a_path_selects(asked: str, found: dict[str, Any], stub: gnmi_grpc.gNMIStub) -> None:
    assert get(stub, asked) == [found]


def test_everything(stub: gnmi_grpc.gNMIStub) -> None:
    (found,) = get(stub, "")
    assert len(found) == 2 * (8 + len(COUNTERS))
    assert found[status("eth2")] == "DOWN"


def test_each_path_has_its_notification(stub: gnmi_grpc.gNMIStub) -> None:
    assert get(stub, status("eth1"), status("eth2")) == [
        {status("eth1"): "UP"},
        {status("eth2"): "DOWN"},
    ]


def test_a_prefix_begins_every_path(stub: gnmi_grpc.gNMIStub) -> None:
    prefix = path("interfaces/interface[name=eth1]")
    assert get(stub, "state/oper-status", prefix=prefix) == [{status("eth1"): "UP"}]


def test_config_and_state_are_told_apart(stub: gnmi_grpc.gNMIStub) -> None:
    (config,) = get(stub, "interfaces", type=gnmi.GetRequest.CONFIG)
    (state,) = get(stub, "interfaces", type=gnmi.GetRequest.STATE)
    assert config and all("/state/" not in path for path in config)
    assert state and all("/state/" in path for path in state)


@pytest.mark.parametrize(
    ("encoding", "name"), [(gnmi.Encoding.JSON, "json_val"), (gnmi.Encoding.JSON_IETF, "json_ietf_val")]
)
def test_values_as_json(encoding: Any, name: str, stub: gnmi_grpc.gNMIStub) -> None:
    request = gnmi.GetRequest(path=[path(status("eth1"))], encoding=encoding)
    (notification,) = stub.Get(request, timeout=DEADLINE).notification
    assert getattr(notification.update[0].val, name) == b'"UP"'


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("interfaces/interface[name=eth9]/state", grpc.StatusCode.NOT_FOUND),
        ("interfaces/interface[name=eth1]/state/mtu", grpc.StatusCode.NOT_FOUND),
        ("components", grpc.StatusCode.NOT_FOUND),
        ("interfaces/interface[id=3]", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_wrong_paths(asked: str, code: grpc.StatusCode, stub: gnmi_grpc.gNMIStub) -> None:
    assert refused(lambda: get(stub, asked)) == code


def test_what_it_cannot_do_it_says(stub: gnmi_grpc.gNMIStub) -> None:
    unimplemented = grpc.StatusCode.UNIMPLEMENTED
    assert refused(lambda: get(stub, OPER_STATUS, encoding=gnmi.Encoding.BYTES)) == unimplemented
    assert refused(lambda: stub.Set(gnmi.SetRequest(), timeout=DEADLINE)) == unimplemented
    elsewhere = gnmi.Path(origin="cli")
    assert refused(lambda: get(stub, OPER_STATUS, prefix=elsewhere)) == unimplemented


def test_capabilities(stub: gnmi_grpc.gNMIStub) -> None:
    found = stub.Capabilities(gnmi.CapabilityRequest(), timeout=DEADLINE)
    assert found.gNMI_version == "0.10.0"
    assert "openconfig-interfaces" in {model.name for model in found.supported_models}
    assert gnmi.Encoding.PROTO in found.supported_encodings


def test_no_ports_are_no_error(switch: Running) -> None:
    with grpc.insecure_channel(switch.address) as channel:
        assert get(gnmi_grpc.gNMIStub(channel), IFINDEX) == [{}]


class Watch:
    """A subscription."""

    def __init__(
        self, stub: gnmi_grpc.gNMIStub, mode: str, *subscriptions: gnmi.Subscription, **fields: Any
    ) -> None:
        self._requests: queue.Queue[gnmi.SubscribeRequest | None] = queue.Queue()
        listed = gnmi.SubscriptionList(
            mode=gnmi.SubscriptionList.Mode.Value(mode),
            subscription=subscriptions,
            **{"encoding": gnmi.Encoding.PROTO, **fields},
        )
        self._requests.put(gnmi.SubscribeRequest(subscribe=listed))
        self._call = stub.Subscribe(iter(self._requests.get, None), timeout=DEADLINE)

    def next(self) -> dict[str, Any] | str:
        """The next update, or "sync", or "end"."""
        response = next(self._call, None)
        if response is None:
            return "end"
        return "sync" if response.WhichOneof("response") == "sync_response" else updates(response.update)

    def poll(self) -> None:
        self._requests.put(gnmi.SubscribeRequest(poll=gnmi.Poll()))

    def again(self) -> None:
        self._requests.put(gnmi.SubscribeRequest(subscribe=gnmi.SubscriptionList()))

    def end(self) -> None:
        self._requests.put(None)
        self._call.cancel()


def on_change(text: str, **fields: Any) -> gnmi.Subscription:
    return gnmi.Subscription(path=path(text), mode=gnmi.SubscriptionMode.ON_CHANGE, **fields)


def test_changes_are_told(ports: Running, stub: gnmi_grpc.gNMIStub) -> None:
    watch = Watch(stub, "STREAM", on_change(OPER_STATUS))
    assert [watch.next(), watch.next()] == [UP_AND_DOWN, "sync"]
    ports.data_plane.ports.set_up(1, False)
    assert watch.next() == {status("eth1"): "DOWN"}
    ports.data_plane.ports.set_up(1, False)  # no change
    ports.data_plane.ports.set_up(2, True)
    assert watch.next() == {status("eth2"): "UP"}
    ports.data_plane.ports.add(Port(3, "eth3"))
    assert watch.next() == {status("eth3"): "UP"}
    watch.end()


def test_only_of_what_was_asked_for(ports: Running, stub: gnmi_grpc.gNMIStub) -> None:
    watch = Watch(stub, "STREAM", on_change(status("eth2")), on_change(IFINDEX))
    while watch.next() != "sync":
        pass
    ports.data_plane.ports.set_up(1, False)
    ports.data_plane.ports.set_up(2, True)
    assert watch.next() == {status("eth2"): "UP"}
    watch.end()


def test_updates_only(ports: Running, stub: gnmi_grpc.gNMIStub) -> None:
    watch = Watch(stub, "STREAM", on_change(OPER_STATUS), updates_only=True)
    assert watch.next() == "sync"
    ports.data_plane.ports.set_up(1, False)
    assert watch.next() == {status("eth1"): "DOWN"}
    watch.end()


def test_samples_come_again_and_again(ports: Running, stub: gnmi_grpc.gNMIStub) -> None:
    sample = gnmi.Subscription(
        path=path(status("eth1")), mode=gnmi.SubscriptionMode.SAMPLE, sample_interval=1
    )
    watch = Watch(stub, "STREAM", sample)
    assert [watch.next(), watch.next()] == [{status("eth1"): "UP"}, "sync"]
    assert watch.next() == {status("eth1"): "UP"}
    ports.data_plane.ports.set_up(1, False)
    while watch.next() == {status("eth1"): "UP"}:
        pass
    assert watch.next() == {status("eth1"): "DOWN"}
    watch.end()


@pytest.mark.parametrize(
    ("encoding", "value"),
    [(gnmi.Encoding.JSON, "UP"), (gnmi.Encoding.JSON_IETF, b'"UP"'), (gnmi.Encoding.PROTO, "UP")],
)
def test_encodings_of_a_subscription(encoding: Any, value: object, stub: gnmi_grpc.gNMIStub) -> None:
    """JSON is also what a client has that names none, which expects plain values."""
    watch = Watch(stub, "ONCE", on_change(status("eth1")), encoding=encoding)
    assert watch.next() == {status("eth1"): value}


def test_once(stub: gnmi_grpc.gNMIStub) -> None:
    watch = Watch(stub, "ONCE", on_change(OPER_STATUS))
    assert [watch.next(), watch.next(), watch.next()] == [UP_AND_DOWN, "sync", "end"]


def test_poll(ports: Running, stub: gnmi_grpc.gNMIStub) -> None:
    watch = Watch(stub, "POLL", on_change(status("eth1")))
    assert [watch.next(), watch.next()] == [{status("eth1"): "UP"}, "sync"]
    ports.data_plane.ports.set_up(1, False)
    watch.poll()
    assert [watch.next(), watch.next()] == [{status("eth1"): "DOWN"}, "sync"]
    watch.again()
    assert refused(watch.next) == grpc.StatusCode.INVALID_ARGUMENT


def test_a_subscription_begins_with_a_list(stub: gnmi_grpc.gNMIStub) -> None:
    first = iter([gnmi.SubscribeRequest(poll=gnmi.Poll())])
    assert refused(lambda: list(stub.Subscribe(first, timeout=DEADLINE))) == grpc.StatusCode.INVALID_ARGUMENT


def test_subscriptions_are_bounded_and_their_places_come_back(
    ports: Running, stub: gnmi_grpc.gNMIStub
) -> None:
    watches = [Watch(stub, "STREAM", on_change(OPER_STATUS)) for _ in range(MAX_WATCHERS)]
    for watch in watches:
        assert watch.next() == UP_AND_DOWN
    one_more = Watch(stub, "ONCE", on_change(OPER_STATUS))
    assert refused(one_more.next) == grpc.StatusCode.RESOURCE_EXHAUSTED
    with ports.client() as client:  # P4Runtime is served all the same
        client.become_primary()
    for watch in watches:
        watch.end()

    def there_is_room() -> bool:
        try:
            return Watch(stub, "ONCE", on_change(OPER_STATUS)).next() == UP_AND_DOWN
        except grpc.RpcError:
            return False

    assert eventually(there_is_room)


def test_a_watcher_that_does_not_read_holds_nobody_up(ports: Running, stub: gnmi_grpc.gNMIStub) -> None:
    Watch(stub, "STREAM", on_change(OPER_STATUS))
    changing = threading.Thread(
        target=lambda: [ports.data_plane.ports.set_up(1, bool(n % 2)) for n in range(100_000)]
    )
    changing.start()
    changing.join(DEADLINE)
    assert not changing.is_alive()
    assert get(stub, status("eth1")) == [{status("eth1"): "UP"}]
