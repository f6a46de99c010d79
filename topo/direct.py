"""What the pools of a configuration ask of the backends' kernels.

The servers of all modes but `nat` see the client's packet as it was sent, addressed to the VIP, and answer
the client themselves. So a backend has to carry the VIPs, and to take off what a tunnel put around them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from controller.model import Config, Mode

VXLAN_PORT = 4789  # RFC 7348

T = TypeVar("T")


@dataclass(frozen=True)
class Vxlan:
    """The VXLAN interface that a backend needs: network identifier, MAC address, family of the underlay."""

    vni: int
    mac: str
    version: int

    @property
    def interface(self) -> str:
        """Its name, of at most 15 characters."""
        return f"vx{self.version}-{self.vni}"


@dataclass(frozen=True)
class Direct:
    """What each backend host is set up with, whichever pools it is a member of."""

    vips: tuple[str, ...] = ()
    """Carried by the backends on their loopback."""
    vxlans: tuple[Vxlan, ...] = ()
    """Taken off by the kernel."""
    decapsulated: tuple[str, ...] = ()
    """Modes whose packets `topo.decapsulate` unwraps."""

    @classmethod
    def of(cls, config: Config) -> "Direct":
        pools = [pool for pool in config.pools if pool.mode is not Mode.NAT]
        return cls(
            vips=_unique(str(vip.address) for pool in pools for vip in config.vips_of(pool.name)),
            vxlans=_unique(
                Vxlan(pool.tunnel.vni, str(pool.tunnel.inner_mac), backend.address.version)
                for pool in pools
                if pool.mode is Mode.VXLAN
                for backend in pool.backends
            ),
            decapsulated=_unique(
                pool.mode.value for pool in pools if pool.mode.is_tunnel and pool.mode is not Mode.VXLAN
            ),
        )


def _unique(values: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))
