"""What a configuration asks of the backends' kernels."""

from pathlib import Path

from controller.config import load
from topo import plan
from topo.direct import Direct, Vxlan

SYSTEM = Path(__file__).parents[1] / "system"


def test_nat_asks_for_nothing() -> None:
    assert Direct.of(load(SYSTEM / "web.yaml")) == Direct()


def test_dsr_asks_for_the_vip_alone() -> None:
    assert Direct.of(load(SYSTEM / "dsr.yaml")) == Direct(vips=("10.0.0.100",))


def test_the_demonstration_asks_for_one_vxlan_interface() -> None:
    direct = Direct.of(load(plan.CONFIG))
    assert direct.vxlans == (Vxlan(7, "02:00:00:00:07:07", 4),)
    assert direct.decapsulated == ()
    assert set(direct.vips) == {"10.0.0.101", "fd00::101", "10.0.0.102", "fd00::102"}


def test_every_mode_and_underlay() -> None:
    direct = Direct.of(load(SYSTEM / "modes.yaml"))
    assert {vxlan.version for vxlan in direct.vxlans} == {4, 6}
    assert direct.decapsulated == ("ipip", "gre", "gue")
