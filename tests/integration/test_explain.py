"""What the controller says about packets against what real switches say."""

from ipaddress import ip_address
from random import Random

from controller.model import Protocol, change_backend
from controller.trace import Flow
from tests.integration.rig import Rig
from tests.integration.switches import SwitchProcess


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
