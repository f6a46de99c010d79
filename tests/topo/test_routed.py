"""The network with two switches that is built, and what the controller is told of it, are the same."""

from ipaddress import ip_interface
from pathlib import Path

import pytest

from controller import config
from topo import plan, routed
from topo.lab import PROJECT
from topo.spread import IPV4, IPV6, spread_script

TWO = routed.routed_plan(2)
FILES = (plan.TWO_SWITCHES, PROJECT / "tests" / "system" / "two_switches.yaml")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_switches_and_their_networks_agree(path: Path) -> None:
    switches = config.load(path).switches
    assert switches is not None
    for planned, told in zip(TWO.switches, switches, strict=True):
        assert (told.name, told.address) == (planned.name, f"127.0.0.1:{planned.p4runtime_port}")
        assert told.interfaces is not None and told.routes is not None
        uplink, servers = told.interfaces
        assert (uplink.ports, servers.ports) == ((routed.UPLINK_PORT,), (routed.SERVERS_PORT,))
        for n, family in enumerate((IPV4, IPV6)):
            router = ip_interface(family.uplink(planned))
            assert str(uplink.addresses[n].ip) == family.gateway(planned)
            assert uplink.addresses[n].network == router.network
            assert servers.addresses[n].network == ip_interface(family.servers).network
            assert str(told.routes[n].destination) == str(ip_interface(family.clients).network)
            assert told.routes[n].gateway == router.ip


def test_no_address_is_given_twice() -> None:
    switches = config.load(plan.TWO_SWITCHES).switches or ()
    of_switches = [str(one.ip) for told in switches for to in told.interfaces or () for one in to.addresses]
    of_hosts = [address for host in TWO.hosts for address in (host.address4, host.address6)]
    of_router = [
        str(ip_interface(address).ip)
        for family in (IPV4, IPV6)
        for address in (family.clients, family.servers, *map(family.uplink, TWO.switches))
    ]
    everybody = of_switches + of_hosts + of_router
    assert sorted(set(everybody)) == sorted(everybody)


def test_the_order_of_the_switches_is_that_of_the_next_hops() -> None:
    assert spread_script(TWO.switches)[0] == "ip nexthop replace id 100 group 101/102"
    assert spread_script(TWO.switches[::-1])[0] == "ip nexthop replace id 100 group 102/101"
    assert spread_script(TWO.switches[1:])[0] == "ip nexthop replace id 100 group 102"
