"""Over which switches the router of a lab spreads flows (see `topo.routed`): its groups of next hops."""

from collections.abc import Sequence
from dataclasses import dataclass

from topo.plan import SwitchPlan
from topo.preflight import ipv6_usable

ROUTER = "r1"


@dataclass(frozen=True)
class Family:
    """IPv4 or IPv6: how `ip` is told, the router's addresses on both sides, and its group of next hops."""

    option: str
    group: int
    clients: str
    servers: str
    uplinks: str
    """The network between the router and a switch, by the switch's number."""

    def member(self, switch: SwitchPlan) -> int:
        """The number of the next hop that is this switch."""
        return self.group + switch.number

    def gateway(self, switch: SwitchPlan) -> str:
        return self.uplinks.format(switch.number) + "1"

    def uplink(self, switch: SwitchPlan) -> str:
        """The router's own address on the way to a switch."""
        prefix = 24 if self.option == "-4" else 64
        return f"{self.uplinks.format(switch.number)}254/{prefix}"


IPV4 = Family("-4", 100, "10.0.0.1/24", "10.0.1.1/24", "10.1.{}.")
IPV6 = Family("-6", 200, "fd00::1/64", "fd00:1::1/64", "fd00:1{:02}::")


def families() -> list[Family]:
    return [IPV4, IPV6] if ipv6_usable() else [IPV4]


def spread_script(switches: Sequence[SwitchPlan]) -> list[str]:
    """How the router is told to spread flows over these switches. Their order says which flows go where."""
    return [
        f"ip nexthop replace id {family.group} group "
        + "/".join(str(family.member(switch)) for switch in switches)
        for family in families()
    ]
