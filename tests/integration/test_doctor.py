"""What the daemon finds out about a real switch."""

from controller.diagnosis import State
from tests.integration.rig import Rig
from tests.integration.switches import EMBEDDED, SwitchProcess


async def test_a_switch_without_ports_and_backends(switch: SwitchProcess) -> None:
    async with Rig(switch) as rig:
        await rig.synchronized()
        found = {(one.subject, one.state) for one in await rig.controller.diagnose()}
        assert {("switch", State.OK), ("program", State.OK), ("store", State.OK)} <= found
        assert ("web/b1", State.WARNING) in found, "nobody checks here"
        tells = switch.kind == EMBEDDED
        assert ("ports", State.WRONG if tells else State.NOTE) in found
        assert ("recorded flows", State.OK if tells else State.NOTE) in found
        switch.kill()
        await rig.until(lambda: not rig.controller.report().switch.connected, "lost")
        assert ("switch", State.WRONG) in {
            (one.subject, one.state) for one in await rig.controller.diagnose()
        }
