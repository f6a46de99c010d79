"""What the controller says about packets against what real switches say."""

from ipaddress import ip_address
from random import Random

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether

from controller.config import parse
from controller.model import ONLY, Protocol, change_backend
from controller.program import TUNNELS
from controller.trace import Flow
from controller.wire import PacketIn
from tests.integration.rig import Rig
from tests.integration.switches import SwitchProcess

TUNNEL_ERROR = 4


def flow(client: str, address: str, port: int, client_port: int = 40000, opening: bool = True) -> Flow:
    protocol = Protocol.UDP if port == 53 else Protocol.TCP
    return Flow(ip_address(client), client_port, ip_address(address), port, protocol, opening)


async def test_model_and_switch_agree_about_random_flows(switch: SwitchProcess) -> None:
    async with Rig(switch) as rig:
        await rig.synchronized()
        await rig.controller.change(
            "weight", lambda config: change_backend(config, "web", "b1", weight=2), who="test"
        )
        random, backends = Random(1), set[str | None]()
        for number in range(60):
            address, port = random.choice([("10.0.0.100", 80), ("10.0.0.100", 81), ("fd00::100", 53)])
            client = f"10.0.0.{random.randint(2, 250)}" if "." in address else f"fd00:1::{number + 2:x}"
            asked = flow(client, address, port, random.randint(1, 65535), random.random() < 0.5)
            found = await rig.controller.explain(asked)
            assert found.switch is not None, found.unconfirmed
            assert not found.differences, found
            assert found.model.bucket == found.switch.bucket
            backends.add(found.switch.backend)
        assert backends == {None, "b1", "b2", "b3", "d1"}


async def test_a_service_that_nobody_has(switch: SwitchProcess) -> None:
    async with Rig(switch) as rig:
        await rig.synchronized()
        found = await rig.controller.explain(flow("10.0.0.9", "10.0.0.100", 81))
        assert found.switch == found.model
        assert (found.model.fate, found.model.reason) == ("dropped", "no_service")


async def test_without_a_switch_there_is_the_model_alone(switch: SwitchProcess) -> None:
    rig = Rig(switch)
    rig.controller._shared.desired.refresh(0.0)
    found = await rig.controller.explain(flow("10.0.0.9", "10.0.0.100", 80))
    assert found.switch is None and found.unconfirmed == "the switch is not connected"
    assert found.model.vip == "web" and found.model.backend in {"b1", "b2", "b3"}
    rig.store.close()


MANY_KINDS = """
switch: {mac: "02:00:00:00:00:01", address: "%s"}
interfaces: [{name: all, ports: [1], addresses: [10.0.0.1/16, "fd00::1/64"]}]
neighbors:
  - {address: 10.0.1.11, mac: "02:00:00:00:01:0b", port: 1}
  - {address: "fd00::12", mac: "02:00:00:00:01:0c", port: 1}
pools:
  - {name: a, buckets: 64, health: {type: none}, announcement: 0s, backends:
      [{name: b1, address: 10.0.1.11}, {name: b2, address: 10.0.1.13}]}
  - {name: c, buckets: 16, health: {type: none}, backends: [{name: b1, address: "fd00::12"}]}
  - {name: b, mode: gre, buckets: 1024, udp: move, health: {type: none}, announcement: 0s, backends:
      [{name: b1, address: 10.0.1.11}, {name: b2, address: "fd00::12"}]}
  - {name: empty, health: {type: none}}
vips:
  - {name: net, address: 10.0.0.100, port: 80, pool: a, affinity: client/24}
  - {name: some, address: 10.0.0.100, port: 81, pool: b, affinity: client, deny: [10.0.128.0/17]}
  - {name: range, address: "fd00::100", port: 80-90, pool: b, allow: ["fd00::/65"]}
  - {name: exact, address: "fd00::100", port: 85, pool: c, affinity: client/120}
  - {name: udp, address: 10.0.0.100, protocol: udp, port: 53, pool: b}
  - {name: reset, address: 10.0.0.100, port: 82, pool: empty, on_no_backend: reset}
  - {name: icmp, address: "fd00::100", protocol: udp, port: 53, pool: empty, on_no_backend: unreachable}
"""


async def test_masks_ranges_policies_tunnels_and_refusals(switch: SwitchProcess) -> None:
    """Buckets too: the controller's hash is the program's, whatever a VIP's affinity masks."""
    async with Rig(switch, config=parse(MANY_KINDS % switch.address)) as rig:
        await rig.synchronized()
        random, ends = Random(2), set[tuple[str, str]]()
        for _ in range(150):
            version = random.choice([4, 6])
            client = int(ip_address("10.0.0.0" if version == 4 else "fd00::")) + random.randint(200, 65000)
            if version == 6:
                client |= random.getrandbits(1) << 63
            address, port = random.choice(
                [("10.0.0.100", n) for n in (53, 80, 81, 82)]
                if version == 4
                else [("fd00::100", n) for n in (53, 80, 85, 90, 91)]
            )
            asked = flow(
                str(ip_address(client)), address, port, random.randint(1, 65535), random.random() < 0.5
            )
            found = await rig.controller.explain(asked, 1)
            assert found.switch == found.model, found
            ends.add((found.model.fate, found.model.reason))
    assert ends == {
        ("sent", ""),
        ("dropped", "no_service"),
        ("dropped", "source_denied"),
        ("punted", "glean"),
        ("replied", "reset"),
        ("replied", "unreachable"),
    }


async def test_a_tunnel_error_that_the_switch_punts_becomes_the_tunnels_mtu(switch: SwitchProcess) -> None:
    """That the switch punts it is in the packet table; here it is put where punted packets arrive."""
    async with Rig(switch, config=parse(MANY_KINDS % switch.address)) as rig:
        await rig.synchronized()
        switch_state = rig.controller._shared.switches[ONLY]
        assignment = rig.controller._shared.desired.assignment
        (number,) = (n for n, i in assignment.pools["b"].backends.items() if i.name == "b1")
        quote = IP(src="10.0.0.1", dst="10.0.1.11", len=1500, proto=47, flags="DF") / bytes(64)
        error = ICMP(type=3, code=4, nexthopmtu=1400) / quote
        frame = Ether(dst="02:00:00:00:00:01") / IP(src="10.0.9.9", dst="10.0.0.1") / error
        assert switch_state.tracer._switch is not None
        switch_state.tracer._switch.packets.put_nowait(PacketIn(TUNNEL_ERROR, 1, bytes(frame)))
        await rig.until(lambda: bool(switch_state.path_mtus.present({number: "b/b1"})), "an MTU is learned")
        await rig.synchronized()
        assert (await rig.rows(TUNNELS))[number,].values[-1] == 1400 - 20 - 4
