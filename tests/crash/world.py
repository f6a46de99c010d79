"""A daemon that is killed, the switch that it keeps, clients, and a model of what must be.

The model is a list of revisions, each a dictionary of backends, and which of them are down. What a command
was told is in it; a command that was under way when the daemon died is there or is not, and never in part.
"""

import asyncio
import json
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Self

import grpc
from finsy.proto import p4r, p4r_grpc

from controller import config as documents
from controller import program
from controller.api.client import Client, ClientError
from controller.api.schemas import Change, ConfigView
from controller.codec import Codec, parse_p4info
from controller.program import Rows, Table, narrow
from controller.revision import Revision
from p4src import build
from tests.crash import disk
from tests.crash.daemons import Zygote
from tests.crash.stage import Stage, daemon_order
from tests.fakes.proxy import Forward, Proxy

PATIENCE = 30.0
"""Seconds that a busy machine gets for anything."""

IDLE = 2.0
BUCKETS = 64
PORT, VIP_PORT = 8080, 80
VIP = IPv4Address("10.0.0.100")
NAMES = [f"b{number}" for number in range(1, 9)]
MOST_DOWN = 2
TICK = 0.03
"""Seconds between two packets of each flow, about."""

Backends = dict[str, tuple[int, str]]
"""Weight and administrative state by name."""


def stage() -> Stage:
    return Stage((VIP, VIP_PORT), tick=TICK, silence=0.7 * IDLE, patience=PATIENCE)


def address(name: str) -> IPv4Address:
    return IPv4Address("10.0.1.10") + int(name[1:])


def document(switch: str, backends: Backends, announcement: str, **more: object) -> str:
    """YAML, of which JSON is a part; `more` settings of the pool."""
    neighbors = [
        {"address": str(address(name)), "mac": f"02:00:00:00:02:{number:02x}", "port": 2}
        for number, name in enumerate(NAMES)
    ]
    pool = {
        "name": "web",
        "buckets": BUCKETS,
        "idle_timeout": IDLE,
        "announcement": announcement,
        "probe": "none",
        "backends": [
            {"name": name, "address": str(address(name)), "port": PORT, "weight": weight, "state": state}
            for name, (weight, state) in backends.items()
        ],
        **more,
    }
    return json.dumps(
        {
            "switch": {"address": switch, "mac": "02:00:00:00:00:01"},
            "interfaces": [{"name": "all", "ports": [1, 2], "addresses": ["10.0.0.1/16"]}],
            "neighbors": neighbors,
            "pools": [pool],
            "vips": [{"name": "web", "address": str(VIP), "port": VIP_PORT, "pool": "web"}],
        }
    )


@dataclass(frozen=True, slots=True)
class Command:
    """Something asked of the daemon: what the configuration is afterwards, and whose flows it ends."""

    after: Backends
    cut: frozenset[str]
    path: tuple[str, ...]
    method: str
    body: Any = None

    def send(self, api: Client) -> Change:
        match self.method:
            case "put":
                return api.put(*self.path, document=self.body)
            case "patch":
                return api.patch(*self.path, body=self.body)
            case "delete":
                return api.delete(*self.path, force=bool(self.cut))
            case _:
                return api.post(*self.path, body=self.body)


class World:
    """`fault` names what is wrong with the daemon, if anything; `patience` is in seconds."""

    def __init__(
        self, zygote: Zygote, folder: Path, seed: int, *, fault: str = "", patience: float = PATIENCE
    ) -> None:
        self.random = random.Random(seed)
        self._zygote, self._folder, self._fault, self._patience = zygote, folder, fault, patience
        self._disk = zygote.disk / folder.name
        self._disk.mkdir()
        self._down_file = folder / "down"
        self._down_file.write_text("")
        self._announcement = "100ms" if seed % 2 else "0s"
        self.revisions: list[Backends] = []
        self.down: set[str] = set()
        self.kills = self.acknowledged = 0
        self._pid = 0
        self._last_write = -1
        """Writes until the daemon is killed, before or after the switch takes it; below 0: never."""
        self._last_write_is_made = False
        self._dead = threading.Event()
        self._pool = ThreadPoolExecutor(2)

    def __enter__(self) -> Self:
        self._stage = stage()
        self.switch, self.clients = self._stage.switch, self._stage.clients
        self._proxy = Proxy(self.switch.address)
        self._proxy.otherwise = self._between_writes
        self._stage.wait(self._proxy.heal())
        self._codec = Codec(parse_p4info((build.COMPILED / build.P4INFO).read_text()))
        self.first = {name: (1, "active") for name in NAMES[:4]}
        self._document = document(self._proxy.address, self.first, self._announcement)
        (self._folder / "sluice.yaml").write_text(self._document)
        return self

    def __exit__(self, *_: object) -> None:
        self._stage.silence()
        if self._pid:
            self.kill()
        self._pool.shutdown()
        self._stage.wait(self._proxy.cut())
        self._stage.end()

    # the daemon

    def start(self) -> None:
        """A daemon begins; it may be killed before it is ready."""
        order = daemon_order(self._folder, "sluice", self._disk, self._folder / "sluice.sock")
        self._pid = self._zygote.ask(order | ({"fault": self._fault} if self._fault else {}))

    def kill(self) -> None:
        """SIGKILL; and often the machine loses its power with it."""
        pid, self._pid, self._last_write = self._pid, 0, -1
        os.kill(pid, signal.SIGKILL)
        self._zygote.ask(pid)
        self.kills += 1
        disk.live_on(self._disk)
        if self.random.random() < 0.4:
            disk.lose_power(self._disk, self.random)

    async def _between_writes(self, request: p4r.WriteRequest, forward: Forward) -> bytes:
        """Packets come between any two writes, and the daemon may be killed there."""
        self._last_write -= 1
        dies = self._last_write == 0 and self._pid
        if dies and not self._last_write_is_made:
            self._strike()
            return await asyncio.Future()
        answer = await forward(request)
        if dies:
            self._strike()
        self.clients.speak()
        self.clients.open()
        return answer

    def _strike(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._dead.set()

    # what happens

    def step(self) -> None:
        """A command, or fate; the daemon is killed meanwhile, and must be as it should afterwards."""
        self._fell = set[str]()
        if self.random.random() < 0.5:
            self._change_health()
        if self.random.random() < 0.15:
            self.clients.restart_switch()
        self.clients.close_some(self.random.randint(0, 10))
        for _ in range(self.random.randint(1, 12)):
            self.clients.open()
        command = self._command()
        after, cut = (command.after, command.cut) if command else (self.revisions[-1], frozenset[str]())
        # Who is added serves after the first check only; who is to leave serves until then.
        lasting = self._serving().keys() & self._serving(after).keys()
        stay = set[str]() if self._fell else self._stand_ins(after) - cut
        self.clients.may_be_refused = not lasting and not stay
        self._doom({name for name in command.cut if name in self.revisions[-1]} if command else set())
        dies = self.random.choice([*2 * ["at a write"], "at a sync", "meanwhile", "when it has answered"])
        self._dead.clear()
        if dies == "at a write":
            self._last_write_is_made = self.random.random() < 0.5
            self._last_write = self.random.randint(1, 3)
        elif dies == "at a sync":
            disk.die_at(self._disk, self.random.randint(1, 6))
        self._cut = cut
        answer = self._pool.submit(self._send, command) if command else None
        if dies == "at a write":
            self._dead.wait(0.3)
        elif answer and dies != "meanwhile":
            wait([answer], timeout=2)  # who is killed does not answer
        time.sleep(self.random.choice([0, 0.001, 0.003, 0.01, 0.03, 0.1]) * self.random.random())
        self.kill()
        self._note(command, answer.result(PATIENCE) if answer else None)
        if self.random.random() < 0.2:  # once more, while it begins
            self.start()
            time.sleep(self.random.random() * 0.3)
            self.kill()
        if self.random.random() < 0.15:
            self.clients.restart_switch()
        self.start()
        self.converge()

    def _change_health(self) -> None:
        name = self.random.choice(NAMES if len(self.down) < MOST_DOWN else sorted(self.down))
        if name not in self.down:
            self._doom({name})
        self.down ^= {name}
        self._fell = self.down & self._served
        fresh = self._down_file.with_suffix(".new")
        fresh.write_text(" ".join(self.down))
        fresh.rename(self._down_file)

    def _doom(self, names: set[str]) -> None:
        self.clients.doom({address(name) for name in names})

    def _command(self) -> Command | None:
        now = self.revisions[-1]
        name = self.random.choice(NAMES)
        kinds = ["add"] if name not in now else ["weight", "state", "remove"]
        match self.random.choice([*kinds, *kinds, "apply", "replace", "rollback", "nothing"]):
            case "add":
                weight = self.random.randint(1, 3)
                body = {"name": name, "address": str(address(name)), "port": PORT, "weight": weight}
                after = {**now, name: (weight, "active")}
                return Command(after, frozenset(), ("pools", "web", "backends"), "post", body)
            case "weight":
                weight = self.random.randint(0, 4)
                after = {**now, name: (weight, now[name][1])}
                return self._patch(name, after, {"weight": weight})
            case "state":
                state = self.random.choice(["active", "active", "drain", "disabled"])
                return self._patch(name, {**now, name: (now[name][0], state)}, {"state": state})
            case "remove":
                after = {other: values for other, values in now.items() if other != name}
                cut = frozenset({name} if self.random.random() < 0.3 else ())
                return Command(after, cut, ("pools", "web", "backends", name), "delete")
            case "apply":
                after = {
                    other: (self.random.randint(1, 3), self.random.choice(["active", "active", "drain"]))
                    for other in self.random.sample(NAMES, self.random.randint(2, 6))
                }
                body = document(self._proxy.address, after, self._announcement).encode()
                return Command(after, frozenset(), ("config",), "put", body)
            case "replace":  # all of them, often by such as do not come up
                others = [other for other in NAMES if other not in self._served]
                names = sorted(self.down) if self.random.random() < 0.5 else others[:2]
                after = {other: (1, "active") for other in names or others[:1]}
                body = document(self._proxy.address, after, self._announcement).encode()
                return Command(after, frozenset(), ("config",), "put", body)
            case "rollback":
                number = self.random.randint(max(1, len(self.revisions) - 5), len(self.revisions))
                after = self.revisions[number - 1]
                path = ("revisions", str(number), "restore")
                return Command(after, _disabled(after), path, "post")
        return None

    def _patch(self, name: str, after: Backends, body: dict[str, Any]) -> Command:
        return Command(after, _disabled(after), ("pools", "web", "backends", name), "patch", body)

    def _send(self, command: Command) -> Change | None:
        """The daemon's answer; None if there was none."""
        try:
            with Client(self._folder / "sluice.sock", user="test") as api:
                return command.send(api)
        except ClientError as error:
            refusal = getattr(error, "refusal", None)
            assert refusal is None, f"{command} was refused: {refusal}"
            return None

    def _note(self, command: Command | None, answer: Change | None) -> None:
        self._under_way = None
        if command and command.after != self.revisions[-1]:
            if answer:
                self.revisions.append(command.after)
                self.acknowledged += 1
            else:
                self._under_way = command.after

    def begin(self) -> None:
        """The first start."""
        self.revisions, self._under_way = [self.first], None
        self._fell, self._cut, self._served = set[str](), frozenset[str](), {*self.first}
        self.clients.may_be_refused = False
        self.start()
        self.converge()

    # what must be

    def converge(self) -> None:
        """Waits until all is as the model says. Raises AssertionError."""
        self._until_answered()
        self._check_configuration()
        deadline = time.monotonic() + self._patience
        while problems := [*self.clients.broken, *self._problems()]:
            assert not self.clients.broken, self.clients.broken
            assert time.monotonic() < deadline, f"it does not converge: {problems}"
            time.sleep(0.02)
        serving = self._serving().keys() or self._held.keys() - {""}
        self._served = {*serving}
        self.clients.spare({address(name) for name in serving})
        for _ in range(4):
            owner = self.clients.open()
            assert owner in {address(name) for name in serving} or (not serving and owner is None), (
                f"a new flow goes to {owner}, and {serving} serve"
            )
        assert not self.clients.broken, self.clients.broken

    def _until_answered(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with Client(self._folder / "sluice.sock") as api:
                    self._history = api.get(list[Revision], "revisions")
                    self._config = api.get(ConfigView, "config")
                    numbers = range(max(1, len(self._history) - 2), len(self._history) + 1)
                    self._past = {number: api.text("revisions", str(number)) for number in numbers}
                    return
            except ClientError:
                assert time.monotonic() < deadline, (self._folder / "sluice.log").read_text()[-3000:]
                time.sleep(0.01)

    def _check_configuration(self) -> None:
        """Nothing that was acknowledged is lost, and what was under way is there as a whole or not at all."""
        held = _backends(self._config.config)
        if self._under_way is not None and len(self._history) > len(self.revisions):
            self.revisions.append(self._under_way)
        self._under_way = None
        assert held == self.revisions[-1], f"the daemon has {held}, and should {self.revisions[-1]}"
        numbers = [revision.number for revision in self._history]
        assert numbers == [*range(1, len(self.revisions) + 1)], f"revisions {numbers}"
        for number, text in self._past.items():
            then = _backends(documents.parse(text.encode()))
            assert then == self.revisions[number - 1], f"revision {number} was another one"

    def _serving(self, backends: Backends | None = None) -> dict[str, int]:
        """Who gets new flows, with weights."""
        return {
            name: weight
            for name, (weight, state) in (self.revisions[-1] if backends is None else backends).items()
            if weight and state == "active" and name not in self.down
        }

    def _stand_ins(self, backends: Backends) -> set[str]:
        """Who had new flows and keeps them while nobody is up who is to have them, if somebody is to.

        Somebody who has just died may have taken theirs before that was known (`_fell`).
        """
        if not any(weight and state == "active" for weight, state in backends.values()):
            return set()
        out = {name for name, (_, state) in backends.items() if state == "disabled"}
        return self._served - out - self.down

    def _problems(self) -> list[str]:
        """What is wrong with the tables, as the switch itself says."""
        rows = {table: self._rows(table) for table in (program.BACKENDS, program.BUCKETS)}
        vips, pools = self._rows(program.VIPS), self._rows(program.POOLS)
        found = {
            number: (narrow(do.values[0]), do.values[1]) for (number,), do in rows[program.BACKENDS].items()
        }
        if len(vips) != 1 or len(pools) != 1:
            return [f"{len(vips)} VIPs and {len(pools)} pools"]
        owners = [do.values for _, do in sorted(rows[program.BUCKETS].items())]
        if len(owners) != BUCKETS:
            return [f"{len(owners)} buckets"]
        gone = [n for n, (_, state) in self.revisions[-1].items() if state == "disabled" or n in self.down]
        problems = [f"{name} is in the tables" for name in gone if (address(name), PORT) in found.values()]
        if {number for row in owners for number in row[:3]} - {0, *found}:
            problems.append("a bucket names a backend that is in no table")
        names = {address(name): name for name in NAMES}
        held: dict[str, int] = {}
        for current, *_ in owners:
            name = names.get(found[current][0], "?") if current in found else ""  # type: ignore[call-overload]
            held[name] = held.get(name, 0) + 1
        self._held = held
        serving = self._serving()
        forced = self._cut - self.revisions[-1].keys()
        if not serving and (stand_ins := self._stand_ins(self.revisions[-1]) - forced):
            if held.keys() == stand_ins or (self._fell and held.keys() <= stand_ins | {""}):
                return problems
            return [*problems, f"{sorted(held)} have buckets, and should {sorted(stand_ins)}"]
        serving = serving or {"": 1}
        total = sum(serving.values())
        for name in serving.keys() | held.keys():
            share = BUCKETS * serving.get(name, 0) / total
            if abs(held.get(name, 0) - share) >= 1:
                problems.append(f"{name or 'nobody'} has {held.get(name, 0)} buckets, and should {share:.1f}")
        return problems

    def _rows(self, table: Table) -> Rows:
        with grpc.insecure_channel(
            self.switch.address, options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            request = p4r.ReadRequest(device_id=1, entities=[self._codec.all_of(table)])
            try:
                answers = [*p4r_grpc.P4RuntimeStub(channel).Read(request)]
            except grpc.RpcError:  # no program yet
                return {}
        rows = [row for answer in answers for entity in answer.entities if (row := self._codec.read(entity))]
        return {key: do for _, key, do in rows}


def _disabled(backends: Backends) -> frozenset[str]:
    return frozenset(name for name, (_, state) in backends.items() if state == "disabled")


def _backends(config: Any) -> Backends:
    return {b.name: (b.weight, str(b.state)) for b in config.pools[0].backends}
