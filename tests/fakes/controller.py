"""A controller without a switch: real configurations and checks, invented reports."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

from controller.config import parse
from controller.controller import ChangeResult, Controller
from controller.diagnosis import Finding
from controller.diagnosis import State as Health
from controller.errors import UnknownName, UnknownRevision
from controller.events import EventLog, Kind
from controller.explanation import Explanation, Side
from controller.model import Backend, Config, Pool
from controller.pair import Pair
from controller.report import (
    BackendReport,
    DrainReport,
    NeighborReport,
    PoolReport,
    Recorded,
    Report,
    SwitchReport,
    Traffic,
    VipReport,
)
from controller.revision import Revision
from controller.stand_ins import NOBODY_CUT, Cut
from controller.trace import Flow

DOCUMENT = """\
switch: {address: "127.0.0.1:9559", device_id: 1, mac: "02:00:00:00:00:01"}
interfaces:
  - {name: clients, ports: [1, 2], addresses: [10.0.0.1/24, "fd00::1/64"]}
  - {name: servers, ports: [3, 4, 5, 6], addresses: [10.0.1.1/24, "fd00:1::1/64"]}
pools:
  - name: web
    health: {type: http, path: /healthz}
    backends:
      - {name: b1, address: 10.0.1.11, port: 8080}
      - {name: b2, address: 10.0.1.12, port: 8080, weight: 2}
      - {name: b3, address: 10.0.1.13, port: 8080, state: drain}
  - name: dns
    udp: move
    health: {type: none}
    backends:
      - {name: d1, address: "fd00:1::53", port: 53}
vips:
  - {name: web, address: 10.0.0.100, port: 80, pool: web}
  - {name: dns, address: "fd00::100", protocol: udp, port: 53, pool: dns}
"""

NOW = 1_700_000_000.0


SIDE = Side(
    vip="web", pool="web", bucket=517, backend="b2", decision="settled", fate="sent", reason="", port=4
)
EXPLANATION = Explanation(
    packet="tcp 10.0.0.11:40000 -> 10.0.0.100:80, a SYN",
    in_port=1,
    steps=("VIP web 10.0.0.100:80/tcp", "bucket 517: settled on b2", "out of port 4"),
    model=SIDE,
    switch=SIDE,
    unconfirmed="",
    notes=(),
    differences=(),
)


class FakeController(Controller):
    """Says yes to every valid change. `changes` holds what it was asked: what, who, and whether to drain."""

    def __init__(self, document: str = DOCUMENT) -> None:
        self.events = EventLog(clock=lambda: NOW)
        self.changes: list[tuple[str, str, bool]] = []
        self.cut: list[Cut] = []
        """Whom each of them cut off."""
        self.asked: list[tuple[Flow, int | None]] = []
        self.explanation = EXPLANATION
        self.answer = ChangeResult(0, True, 0, "")
        self.failure: Exception | None = None
        self.findings: list[Finding] = [Finding(subject="switch", state=Health.OK, text="primary, in step")]
        self.switches: tuple[SwitchReport, ...] = ()
        """If there are several."""
        self.drains: list[DrainReport] = []
        """What is told of drains, one after the other; the last one again and again."""
        self.pair: Pair | None = None
        self._config = parse(document)
        self._revision = Revision(1, NOW, "root", "sluice.yaml")
        self.past = [(self._revision, self._config)]

    @property
    def config(self) -> Config:
        return self._config

    @property
    def revision(self) -> Revision:
        return self._revision

    async def revisions(self) -> list[Revision]:
        return [revision for revision, _ in self.past]

    async def config_of(self, revision: int) -> Config:
        for known, config in self.past:
            if known.number == revision:
                return config
        raise UnknownRevision(revision)

    @property
    def way_is_clear(self) -> bool:
        return True

    async def change(
        self,
        what: str,
        edit: Callable[[Config], Config],
        *,
        who: str,
        expected_revision: int | None = None,
        drain: bool = True,
        from_file: bool = False,
        cut: Cut = NOBODY_CUT,
        wait: float = 5.0,
    ) -> ChangeResult:
        if self.failure:
            raise self.failure
        changed = edit(self._config)
        if changed != self._config or cut:
            self._refuse_what_is_not_about(expected_revision)
        self.changes.append((what, who, drain))
        self.cut.append(cut)
        if changed != self._config or cut:
            self._config = changed
            self._revision = Revision(self._revision.number + 1, NOW, who, what)
            self.past.append((self._revision, self._config))
            self.events.record(Kind.CHANGE, f"revision {self._revision.number}", what, who)
        return replace(self.answer, revision=self._revision.number)

    def leaving(self, pool: str, backend: str) -> Cut:
        """`gone` was, of each pool."""
        self._config.pool(pool)
        if backend != "gone":
            raise UnknownName("removed backend", backend, ["gone"])
        return {pool: frozenset({("gone", IPv4Address("10.0.1.99"), 8080)})}

    def preview(
        self,
        edit: Callable[[Config], Config],
        *,
        expected_revision: int | None = None,
        cut: Cut = NOBODY_CUT,
    ) -> ChangeResult:
        edit(self._config)
        self._refuse_what_is_not_about(expected_revision)
        return replace(self.answer, revision=self._revision.number + 1)

    async def rehearse(
        self,
        edit: Callable[[Config], Config],
        *,
        expected_revision: int | None = None,
        cut: Cut = NOBODY_CUT,
    ) -> ChangeResult:
        return self.preview(edit, expected_revision=expected_revision)

    async def explain(self, flow: Flow, in_port: int | None = None, switch: str | None = None) -> Explanation:
        self.asked.append((flow, in_port))
        return self.explanation.model_copy(update={"at": switch or ""})

    async def draining(self, pool: str, backend: str) -> DrainReport:
        return self.drains.pop(0) if len(self.drains) > 1 else self.drains[0]

    async def recorded(self) -> Recorded | None:
        return Recorded(time=NOW, used=12, room=49152, exact=True, by_backend={1: 12})

    async def diagnose(self) -> list[Finding]:
        return self.findings

    def reports(self) -> dict[str, Report]:
        """Each switch has counted the same."""
        whole = self.report()
        return {one.name: whole.model_copy(update={"switch": one, "switches": ()}) for one in self.switches}

    def report(self) -> Report:
        if self.failure:
            raise self.failure
        return Report(
            time=NOW,
            revision=self._revision.number,
            counted=NOW - 1,
            switch=SwitchReport(
                address="127.0.0.1:9559",
                device_id=1,
                connected=True,
                primary=True,
                synchronized=True,
                cookie=0x1122334455667788,
                error="",
            ),
            switches=self.switches,
            pools=tuple(_pool(number, pool) for number, pool in enumerate(self._config.pools, 1)),
            vips=tuple(
                VipReport(
                    name=vip.name,
                    address=str(vip.address),
                    protocol=vip.protocol,
                    port=vip.port if isinstance(vip.port, int) else str(vip.port),
                    pool=vip.pool,
                    packets=123_456,
                    bytes=98_765_432,
                )
                for vip in self._config.vips
            ),
            neighbors=(
                NeighborReport(
                    address="10.0.1.11",
                    state="reachable",
                    interface="servers",
                    port=3,
                    mac="02:00:00:00:01:0b",
                ),
                NeighborReport(address="10.0.1.13", state="failed", interface="servers", port=None, mac=None),
            ),
            drops={"no_service": Traffic(packets=7, bytes=420), "malformed": Traffic()},
            punts={"glean": Traffic(packets=3, bytes=180)},
        )


def _pool(number: int, pool: Pool) -> PoolReport:
    weights = [0 if backend.state != "active" else backend.weight for backend in pool.backends]
    return PoolReport(
        name=pool.name,
        id=number,
        mode=pool.mode,
        buckets=pool.buckets,
        moving=12,
        unmoved=0,
        panic=False,
        tier=0,
        backends=tuple(
            _backend(backend, pool, weight / max(1, sum(weights)))
            for backend, weight in zip(pool.backends, weights, strict=True)
        ),
    )


def _backend(backend: Backend, pool: Pool, share: float) -> BackendReport:
    down = backend.name == "b2"
    return BackendReport(
        name=backend.name,
        address=str(backend.address),
        port=backend.port,
        weight=backend.weight,
        tier=backend.tier,
        state=backend.state,
        health="down" if down else "healthy",
        reason="3 of 3 checks failed: connection refused" if down else "2 of 2 checks passed: status 200",
        id=1,
        buckets=round(share * pool.buckets),
        previous_buckets=12 if backend.state == "drain" else 0,
        share_wanted=share,
        buckets_wanted=round(share * pool.buckets),
        share=share,
        slow_start=1.0,
        penalty=0.0,
        held_back=False,
        drained=False,
        packets=41_152,
        bytes=30_000_000,
        syns=1234,
        suspect=backend.name == "b3",
        probe_answers=None if down else 96_000,
        suspected=17 if backend.name == "b3" else 0,
        path_mtu=1376 if backend.name == "d1" else None,
        deadline=backend.deadline.at.timestamp() if backend.deadline else None,
        at_deadline=backend.deadline.then if backend.deadline else None,
    )
