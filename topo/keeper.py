"""The process inside the namespace that holds the Mininet network for as long as the lab stands.

It builds hosts, links and switch, writes who is where to `network.json`, says `ready` on its output, and
takes all of it down when it is told to end. `topo.lab` starts it; nobody else has to.
"""

import argparse
import json
import signal
import sys
from pathlib import Path

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Node

from controller import config as configuration
from controller.errors import InvalidConfig
from controller.model import Config
from topo import plan, routed
from topo.direct import Direct
from topo.errors import LabError
from topo.lab import NETWORK_FILE, READY
from topo.nodes import (
    Bridge,
    HealthInterface,
    LabHost,
    SluiceSwitch,
    direct_return_script,
    return_path_script,
    run_script,
)
from topo.plan import HostPlan, Plan


def plan_for(config: Config) -> Plan:
    """The network that a configuration is for: by how many switches it names."""
    return routed.routed_plan(len(config.switches)) if config.switches else Plan()


def build(
    network_plan: Plan, config: Config, direct: Direct, *, target: str, run_dir: Path, logs: Path, token: str
) -> Mininet:
    """The network of `network_plan`, not yet started; with the way past the switch if anybody needs it."""
    # Mininet's own preparation raises limits and sysctls of the whole machine, which a few hosts do not need.
    Mininet.inited = True
    net = Mininet(controller=None, autoSetMacs=False)
    for switch in network_plan.switches:
        net.addSwitch(
            switch.name,
            cls=SluiceSwitch,
            target=target,
            grpc_port=switch.p4runtime_port,
            log=str(logs / f"{switch.name}.log"),
            token=token,
            processes_folder=str(run_dir / "processes"),
        )
    for host in network_plan.hosts:
        net.addHost(host.name, cls=_node_class(host), host_plan=host)
    if config.switches:
        routed.add_links(net, network_plan, [vip.address for vip in config.vips])
    else:
        for host in network_plan.hosts:
            net.addLink(net[host.name], net[plan.SWITCH_NAME], port2=host.port)
    if direct.vips:
        bridge = net.addSwitch(plan.RETURN_BRIDGE, cls=Bridge)
        for host in (*network_plan.clients, *network_plan.backends):
            net.addLink(net[host.name], bridge)
    return net


def start(net: Mininet, network_plan: Plan, direct: Direct) -> None:
    """Configure the hosts, start the switches, and let backends answer directly if they have to."""
    net.start()
    if direct.vips:
        for host in (*network_plan.clients, *network_plan.backends):
            run_script(net[host.name], return_path_script(host))
        for host in network_plan.backends:
            run_script(net[host.name], direct_return_script(host, direct, network_plan.clients))


def describe(net: Mininet, network_plan: Plan, direct: Direct) -> dict[str, object]:
    """What others need to know: the pid of each host's shell (its namespace), the switches' commands, and the
    modes that need a decapsulator."""
    switches = [net[switch.name] for switch in network_plan.switches]
    hosts = [host.name for host in network_plan.hosts] + [routed.ROUTER] * (len(switches) > 1)
    return {
        "hosts": {host: net[host].pid for host in hosts},
        "switches": {switch.name: switch.switch_command() for switch in switches},
        "target": switches[0].target,
        "decapsulated": direct.decapsulated,
    }


def _node_class(host: HostPlan) -> type[Node]:
    return HealthInterface if host.name == plan.HEALTH_HOST else LabHost


def _end(*_: object) -> None:
    raise SystemExit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()

    setLogLevel("warning")
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    net = None
    try:
        config = configuration.load(arguments.config)
        network_plan, direct = plan_for(config), Direct.of(config)
        net = build(
            network_plan,
            config,
            direct,
            target=arguments.target,
            run_dir=arguments.run_dir,
            logs=arguments.logs,
            token=arguments.token,
        )
        start(net, network_plan, direct)
        description = describe(net, network_plan, direct)
        (arguments.run_dir / NETWORK_FILE).write_text(json.dumps(description))
        print(READY, flush=True)
        while True:
            signal.pause()
    except (LabError, InvalidConfig) as error:
        sys.exit(str(error))
    finally:
        if net is not None:
            net.stop()


if __name__ == "__main__":
    main()
