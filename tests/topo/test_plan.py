"""The network that is built and the network that the controller is told of are the same."""

from controller import config
from controller.health.settings import HttpCheck
from topo import plan
from topo.demo import story

PLAN = plan.Plan()
DEMO = config.load(plan.CONFIG)


def test_ports_and_subnets_agree() -> None:
    interfaces = {port: interface for interface in DEMO.interfaces for port in interface.ports}
    assert sorted(interfaces) == sorted(host.port for host in PLAN.hosts)
    for host in PLAN.hosts:
        own = {str(address.ip): address for address in interfaces[host.port].addresses}
        assert {host.gateway4, host.gateway6} == set(own)
        assert own[host.gateway4].network.prefixlen == int(host.ipv4.partition("/")[2])
        assert own[host.gateway6].network.prefixlen == int(host.ipv6.partition("/")[2])


def test_health_checks_come_from_the_health_interface() -> None:
    assert [str(address) for address in DEMO.health_sources] == [PLAN.health.address4, PLAN.health.address6]


def test_backends_are_hosts_and_the_spare_is_in_no_pool() -> None:
    addresses = {host.name: host.address4 for host in PLAN.backends}
    configured = {backend.name: str(backend.address) for backend in DEMO.pools[0].backends}
    assert configured.items() <= addresses.items()
    assert set(addresses) - set(configured) == {story.ADDED}
    assert all(backend.port == plan.SERVICE_PORT for backend in DEMO.pools[0].backends)


def test_the_vip_is_where_the_clients_ask() -> None:
    asked = {(url, pool) for pool, urls in plan.SERVICES.items() for url in urls.values()}
    offered = set[tuple[str, str]]()
    for vip in DEMO.vips:
        host = f"[{vip.address}]" if vip.address.version == 6 else str(vip.address)
        port = "" if vip.port == 80 else f":{vip.port}"
        offered.add((f"http://{host}{port}/", vip.pool))
    assert asked == offered
    assert plan.VIP_URL in plan.SERVICES[DEMO.pools[0].name].values() and DEMO.pools[0].name == plan.POOL


def test_switch_address_and_device() -> None:
    assert DEMO.switch.address == f"127.0.0.1:{plan.P4RUNTIME_PORT}"
    assert DEMO.switch.device_id == plan.DEVICE_ID


def test_the_stated_switch_over_time_follows_from_the_health_check() -> None:
    health = DEMO.pools[0].health
    assert isinstance(health, HttpCheck)
    stated = story.switch_over_seconds(plan.CONFIG)
    assert stated == health.fall * health.interval + story.WRITE_SECONDS
