"""The switch's ports and their links, by gNMI: openconfig-interfaces, as far as it is needed to see them."""

from collections import defaultdict
from typing import Any

from finsy.proto import gnmi, gnmi_grpc

from controller.errors import CallFailed
from controller.wire import CALL_DEADLINE, Connection, within

STATE = ("interfaces", "interface", "state")


async def links(switch: Connection) -> dict[int, bool] | None:
    """By port, whether it has a link; None where the switch does not tell. Raises Unreachable."""
    stub: Any = gnmi_grpc.gNMIStub(switch.channel)  # type: ignore[arg-type]  # the stub's types are blocking
    path = gnmi.Path(elem=[gnmi.PathElem(name=name) for name in STATE])
    request = gnmi.GetRequest(path=[path], encoding=gnmi.Encoding.PROTO)
    try:
        answer = await within(None, stub.Get(request, timeout=CALL_DEADLINE))
    except CallFailed:
        return None
    leaves: dict[str, dict[str, gnmi.TypedValue]] = defaultdict(dict)
    for notification in answer.notification:
        for update in notification.update:
            steps = [*notification.prefix.elem, *update.path.elem]
            name = next((step.key["name"] for step in steps if step.name == "interface"), "")
            leaves[name][steps[-1].name] = update.val
    return {
        values["id"].uint_val: values["oper-status"].string_val == "UP"
        for values in leaves.values()
        if "id" in values and "oper-status" in values
    }
