"""Two daemons that form a pair, each with a wire of its own to the one switch, and clients."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import grpc
from finsy.proto import U128, p4r

from controller.api.client import Client, ClientError
from controller.api.schemas import PoolView, Status
from controller.api.tokens import digest, new_token
from controller.events import Event
from controller.report import BackendReport
from tests.crash.daemons import Zygote
from tests.crash.stage import daemon_order
from tests.crash.world import NAMES, PATIENCE, Backends, document, stage
from tests.fakes.daemon import closed_port
from tests.fakes.proxy import Forward, Proxy
from tests.switch.certificates import make_certificate

BACKENDS: Backends = {name: (1, "active") for name in NAMES[:4]}


class Sockets:
    """The two reach each other by the sockets of their APIs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def options(self, name: str, other: str) -> dict[str, str]:
        """Of the zygote's orders."""
        return {"peer": str(self._folder / f"{other}.sock")}


class Tls:
    """The two reach each other by TCP, each with a certificate and a token of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = {"a": closed_port(), "b": closed_port()}
        self.tokens = {"a": new_token(), "b": new_token()}
        make_certificate(folder, "authority")
        for name, token in self.tokens.items():
            make_certificate(folder, name, "authority")
            self.write(f"{name}.token", token)
            self.write(f"{name}.tokens", f"other peer {digest(self.tokens['b' if name == 'a' else 'a'])}")

    def write(self, name: str, line: str) -> None:
        file = self._folder / name
        file.touch(0o600)
        file.write_text(line + "\n")

    def options(self, name: str, other: str) -> dict[str, str]:
        """Of the zygote's orders."""
        files = {"certificate": "pem", "key": "key", "tokens": "tokens", "peer_token_file": "token"}
        return {
            "listen": f"127.0.0.1:{self._ports[name]}",
            "peer": f"https://127.0.0.1:{self._ports[other]}",
            "peer_ca_file": str(self._folder / "authority.pem"),
            **{option: str(self._folder / f"{name}.{kind}") for option, kind in files.items()},
        }


class Member:
    """One of the two. `options` say how it reaches the other one."""

    def __init__(
        self, name: str, folder: Path, zygote: Zygote, proxy: Proxy, options: dict[str, str]
    ) -> None:
        self.name, self.proxy = name, proxy
        self.socket = folder / f"{name}.sock"
        self.log = folder / f"{name}.log"
        self._folder, self._zygote, self._options = folder, zygote, options
        self.pool: dict[str, object] = {}
        """Settings, beside those that all tests have."""
        self.pid = 0

    def start(self) -> None:
        place = self._zygote.disk / self._folder.name / self.name
        place.mkdir(parents=True, exist_ok=True)
        (self._folder / f"{self.name}.yaml").write_text(
            document(self.proxy.address, BACKENDS, "0s", **self.pool)
        )
        order = daemon_order(self._folder, self.name, place, self.socket)
        self.pid = self._zygote.ask(order | self._options)

    def kill(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self._zygote.ask(self.pid)
            self.pid = 0

    def api(self) -> Client:
        return Client(self.socket, user="test")

    def status(self) -> Status | None:
        """None while it does not answer."""
        try:
            with self.api() as api:
                return api.get(Status, "status")
        except ClientError:
            return None

    def backend(self, name: str) -> BackendReport:
        with self.api() as api:
            backends = api.get(PoolView, "pools", "web").backends
        return next(backend for backend in backends if backend.name == name)

    def is_(self, role: str) -> bool:
        status = self.status()
        return status is not None and status.switch.role == role

    def is_whole(self) -> bool:
        status = self.status()
        return status is not None and status.switch.role == "active" and status.switch.synchronized

    def story(self) -> list[str]:
        """What it says about the two of them."""
        with self.api() as api:
            return [event.text for event in api.get(list[Event], "events") if event.subject == "pair"]

    def change_weight(self, name: str, weight: int) -> None:
        with self.api() as api:
            api.patch("pools", "web", "backends", name, body={"weight": weight})

    def weight(self, name: str) -> int:
        with self.api() as api:
            pool = api.get(dict[str, Any], "config")["config"]["pools"][0]
        return next(backend["weight"] for backend in pool["backends"] if backend["name"] == name)


class Two:
    """`written` is who wrote to the switch, and with which election id; `refused` the same, in vain."""

    def __init__(self, zygote: Zygote, folder: Path, way: type[Sockets | Tls]) -> None:
        self._zygote, self._folder, self.way = zygote, folder, way(folder)
        self.down()
        self.written: list[tuple[str, int]] = []
        self.refused: list[tuple[str, int]] = []
        self.hold: dict[str, threading.Event] = {}
        """Writes of whom wait, and for what."""
        self._under_way = set[asyncio.Task[bytes]]()

    def __enter__(self) -> Self:
        self._stage = stage()
        self.switch, self.clients, self.wait = self._stage.switch, self._stage.clients, self._stage.wait
        self.a, self.b = (self._member(name, other) for name, other in (("a", "b"), ("b", "a")))
        return self

    def __exit__(self, *_: object) -> None:
        self._stage.silence()
        for member in (self.a, self.b):
            member.kill()
            self.wait(member.proxy.cut())
        self._stage.end()

    def _member(self, name: str, other: str) -> Member:
        proxy = Proxy(self.switch.address)

        async def arrive(request: p4r.WriteRequest, forward: Forward) -> bytes:
            wrote = name, U128.decode(request.election_id)
            if (held := self.hold.get(name)) is not None:
                await asyncio.to_thread(held.wait, PATIENCE)
            try:
                answer = await forward(request)
            except grpc.RpcError:
                self.refused.append(wrote)
                raise
            self.written.append(wrote)
            return answer

        async def noted(request: p4r.WriteRequest, forward: Forward) -> bytes:
            """A write that is under way arrives, whatever becomes of who sent it."""
            arriving = asyncio.create_task(arrive(request, forward))
            self._under_way.add(arriving)
            arriving.add_done_callback(self._under_way.discard)
            return await asyncio.shield(arriving)

        proxy.otherwise = noted
        self.wait(proxy.heal())
        return Member(name, self._folder, self._zygote, proxy, self.way.options(name, other))

    def down(self, *names: str) -> None:
        """These fail their checks from now on, no others."""
        (self._folder / "new").write_text(" ".join(names))
        (self._folder / "new").rename(self._folder / "down")

    def end_streams_of(self, member: Member) -> None:
        self._stage.loop.call_soon_threadsafe(member.proxy.end_streams)

    def nobody_is_disturbed(self) -> None:
        """No flow was broken, and no two have written in turns."""
        assert not self.clients.broken
        terms = [election_id for _, election_id in self.written]
        assert terms == sorted(terms), "whoever writes has a higher election id than all before"
        assert len({*self.written}) == len({*terms}), "an election id is only one controller's"


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it does not happen: {what}"
        time.sleep(0.01)
