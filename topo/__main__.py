"""The command line of the labs: what `make run`, `make up`, `make down` and `make clean` call.

`down` and `clean` need only the standard library, so that they work whatever state the checkout is in.
"""

import argparse
import os
import signal
import sys

from topo import cleanup, plan, preflight, processes
from topo.errors import LabError, NoLab
from topo.lab import DAEMON, DEFAULT_NAME, Lab
from topo.targets import TARGETS

HELD, NOT_HELD, COULD_NOT_RUN = 0, 1, 2

CONFIGS = {1: plan.CONFIG, 2: plan.TWO_SWITCHES}
"""By the number of switches."""


def run(arguments: argparse.Namespace) -> int:
    """The demonstration; with a terminal it then leaves the operator at a prompt."""
    from topo import prompt
    from topo.demo.story import demonstrate

    _require("tools")
    lab = _start(arguments)
    try:
        verdicts = demonstrate(lab)
        if sys.stdin.isatty():
            prompt.open_prompt(lab)
    finally:
        lab.down()
    return HELD if all(verdict.held for verdict in verdicts.values()) else NOT_HELD


def up(arguments: argparse.Namespace) -> int:
    """Everything without the demonstration: a prompt, or in the background where there is no terminal."""
    from topo import prompt

    _require("tools")
    lab = _start(arguments)
    if not sys.stdin.isatty():
        print(prompt.how_to_talk_to(lab))
        return HELD
    try:
        prompt.open_prompt(lab)
    finally:
        lab.down()
    return HELD


def down(arguments: argparse.Namespace) -> int:
    """End the lab; there being none is not an error."""
    try:
        Lab.find(arguments.name).down()
        print(f"{arguments.name} is down")
    except NoLab:
        print(f"nothing runs under the name {arguments.name!r}")
    return HELD


def on(arguments: argparse.Namespace) -> int:
    """Run a command on a host, in the place of this process."""
    lab = Lab.find(arguments.name)
    try:
        command = lab.inside_host(arguments.host, arguments.command or ["bash"])
    except KeyError as error:
        raise LabError(error.args[0]) from None
    os.execvpe(command[0], command, {**os.environ, **lab.child_environment})


def server(arguments: argparse.Namespace) -> int:
    """Start or kill the web server of a backend."""
    lab = Lab.find(arguments.name)
    if arguments.host not in {backend.name for backend in plan.Plan().backends}:
        raise LabError(f"there is no backend host {arguments.host!r}")
    if arguments.what == "start":
        if lab.running(arguments.host):
            raise LabError(f"the server on {arguments.host} runs already")
        lab.start_server(arguments.host)
    else:
        lab.kill_server(arguments.host)
    return HELD


def switch(arguments: argparse.Namespace) -> int:
    """Start or kill a switch. One that starts is empty until the controller has filled it."""
    lab = Lab.find(arguments.name)
    if arguments.what == "start":
        if lab.running(arguments.switch):
            raise LabError(f"{arguments.switch} runs already")
        lab.start_switch(arguments.switch)
    else:
        lab.kill_switch(arguments.switch)
    return HELD


def controller(arguments: argparse.Namespace) -> int:
    """Start or kill the controller. The switch forwards without it."""
    lab = Lab.find(arguments.name)
    if arguments.what == "start":
        if lab.running(DAEMON):
            raise LabError("the controller runs already")
        lab.start_daemon()
    else:
        lab.kill_daemon()
    return HELD


def spread(arguments: argparse.Namespace) -> int:
    """Let the router spread flows over these switches and no others, as when it withdraws a route.

    With the same switches in another order each flow goes to another one. For labs started with
    `up --switches 2`. Example: python -m topo spread s1
    """
    Lab.find(arguments.name).spread_over(*arguments.switches)
    return HELD


def requests(arguments: argparse.Namespace) -> int:
    """Send requests from a client and count who answers."""
    arguments.command = [*Lab.python("topo.ask", "--url", plan.VIP_URL), str(arguments.count)]
    return on(arguments)


def watch_traffic(arguments: argparse.Namespace) -> int:
    """Run the clients with the live table until Ctrl-C."""
    from topo.demo.observer import Observer
    from topo.demo.traffic import Load, Traffic
    from topo.demo.watch import watch

    lab = Lab.find(arguments.name)
    loads = {client.name: Load(plan.VIP_URL) for client in plan.Plan().clients}
    watch(Traffic(lab, loads), Observer(lab.socket, (plan.POOL,)))
    return HELD


def clean(_: argparse.Namespace) -> int:
    cleanup.clean()
    return HELD


def _start(arguments: argparse.Namespace) -> Lab:
    print(f"Starting the lab {arguments.name!r}: network, switch, servers, controller", flush=True)
    servers = [backend.name for backend in plan.Plan().backends]
    config = CONFIGS[getattr(arguments, "switches", 1)]
    return Lab.start(arguments.name, target=arguments.target, config=config, servers=servers)


def _require(group: str) -> None:
    problem = preflight.first_problem(group)
    if problem is not None:
        raise LabError(f"{problem.what}\nWhat to do: {problem.remedy}")


def _end_once(number: int, _frame: object) -> None:
    """Turn a signal into an exception, and ignore the next ones: what has been built is being taken down."""
    for ending in processes.ENDING_SIGNALS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m topo", description=__doc__)
    parser.add_argument("--name", default=DEFAULT_NAME, help="of the lab: its namespace, and /run/NAME")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for function, summary in ((run, "the demonstration"), (up, "start everything")):
        command = commands.add_parser(function.__name__, help=summary, description=function.__doc__)
        command.add_argument("--target", choices=TARGETS, default="auto", help="which switch")
        command.set_defaults(function=function)
        if function is up:
            several = "with 2 a router spreads the clients' flows over both (topo/two_switches.yaml)"
            command.add_argument("--switches", type=int, choices=CONFIGS, default=1, help=several)
    for function, summary in ((down, "end the lab"), (clean, "remove all that the project made")):
        commands.add_parser(function.__name__, help=summary).set_defaults(function=function)
    command = commands.add_parser("on", help="run a command on a host, e.g. on c1 ping 10.0.0.100")
    command.add_argument("host")
    command.add_argument("command", nargs=argparse.REMAINDER)
    command.set_defaults(function=on)
    command = commands.add_parser("server", help="start or kill a backend's web server")
    command.add_argument("what", choices=("start", "kill"))
    command.add_argument("host")
    command.set_defaults(function=server)
    command = commands.add_parser("switch", help="start or kill a switch", description=switch.__doc__)
    command.add_argument("what", choices=("start", "kill"))
    command.add_argument("switch")
    command.set_defaults(function=switch)
    command = commands.add_parser(
        "controller", help="start or kill the controller", description=controller.__doc__
    )
    command.add_argument("what", choices=("start", "kill"))
    command.set_defaults(function=controller)
    command = commands.add_parser(
        "spread", help="which of several switches the router uses", description=spread.__doc__
    )
    command.add_argument("switches", nargs="+", metavar="SWITCH")
    command.set_defaults(function=spread)
    command = commands.add_parser("requests", help="send requests to the VIP and count who answers")
    command.add_argument("count", nargs="?", type=int, default=100)
    command.add_argument("--host", default="c1", help="who sends them")
    command.set_defaults(function=requests)
    command = commands.add_parser("watch-traffic", help="clients and a live table, until Ctrl-C")
    command.set_defaults(function=watch_traffic)
    return parser


def main() -> int:
    arguments = _parser().parse_args()
    for number in processes.ENDING_SIGNALS:
        signal.signal(number, _end_once)
    try:
        return arguments.function(arguments)
    except LabError as error:
        print("\n".join(filter(None, [str(error), *getattr(error, "__notes__", ())])), file=sys.stderr)
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        print("\ninterrupted; everything is down", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
