"""finsy's steps with each kind of entity, for the program entities.p4."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import finsy as fy
from finsy.p4entity import P4ValueSetMember

from tests.switch.client import code_name
from tests.switch.client_steps import (
    Refused,
    Steps,
    cells,
    do,
    outcomes,
    read_back,
    with_its_entry,
    written,
)

PATIENCE = 30.0  # seconds; everything here is done in a few milliseconds
CPU_PORT = 255
HOUR = 3_600_000_000_000  # nanoseconds
RATES = fy.P4MeterConfig(cir=1, cburst=2, pir=3, pburst=4)


class FinsySession:
    """finsy from another thread than the loop's, a call at a time."""

    def __init__(self, subject: fy.Switch, loop: asyncio.AbstractEventLoop) -> None:
        self.subject = subject
        self._loop = loop

    def insert(self, entity: Any) -> None:
        self._run(self.subject.insert([entity]))

    def modify(self, entity: Any) -> None:
        self._run(self.subject.modify([entity]))

    def delete(self, entity: Any) -> None:
        self._run(self.subject.delete([entity]))

    def send(self, message: Any) -> None:
        self._run(self.subject.write([message]))

    def read(self, wanted: Any) -> Sequence[Any]:
        async def found() -> list[Any]:
            return [entity async for entity in self.subject.read([wanted])]  # type: ignore[misc]

        return self._run(found())

    def message(self, entity: Any) -> Any:
        return entity.encode(self.subject.p4info)

    def heard(self, messages: AsyncIterator[Any]) -> Callable[[], Any]:
        """Listens from now on. Called, it gives the first message."""

        async def first() -> Any:
            try:
                return await anext(messages)
            finally:
                await messages.aclose()  # type: ignore[attr-defined]

        future = asyncio.run_coroutine_threadsafe(first(), self._loop)
        return lambda: future.result(PATIENCE)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)
        except fy.P4ClientError as error:
            codes = [code_name(detail.canonical_code) for detail in error.details.values()]
            raise Refused(codes[-1] if codes else error.code.name) from None


def mark(value: int) -> fy.Action:
    return fy.Action("mark", value=value)


def entry(table: str, to: Any, match: fy.Match | None = None, **fields: Any) -> fy.P4TableEntry:
    return fy.P4TableEntry(table, match=match, action=to, **fields)


def steps(session: FinsySession) -> dict[str, Steps]:
    """By kind of entity."""

    def row(table: str, match: fy.Match | None, *to: Any, **fields: Any) -> Steps:
        """An entry with one action, and then with another."""
        first, second = to or (mark(1), mark(2))
        return written(
            session,
            entry(table, first, match, **fields),
            entry(table, second, match, **fields),
            fy.P4TableEntry(table),
        )

    members = [fy.P4ActionProfileMember("members", member_id=n, action=mark(n)) for n in (1, 2)]
    pairs = [fy.P4ActionProfileMember("actions_of_pairs", member_id=n, action=mark(n)) for n in (1, 2)]

    def group(number: int, *chosen: fy.P4Member) -> fy.P4ActionProfileGroup:
        return fy.P4ActionProfileGroup("members", group_id=number, members=chosen)

    groups = [group(number, fy.P4Member(number, weight=1)) for number in (1, 2)]
    one = fy.Match(value=1)

    def indirect(table: str, first: fy.P4IndirectAction, second: fy.P4IndirectAction, *needs: Any) -> Steps:
        return written(
            session, entry(table, first, one), entry(table, second, one), fy.P4TableEntry(table), needs
        )

    counts = fy.P4CounterData(packet_count=5, byte_count=500)
    counted, metered = entry("counted", mark(1), one), entry("metered", fy.Action("measure"), one)
    of_counted, of_metered = fy.P4TableEntry("counted", match=one), fy.P4TableEntry("metered", match=one)
    return {
        "exact entry": row("exactly", one),
        "lpm entry": row("longest", fy.Match(address="10.0.0.0/8")),
        "ternary entry": row("masked", fy.Match(value="0x0a00/&0xff00"), priority=5),
        "range entry": row("between", fy.Match(port="1...5"), priority=5),
        "range entry of everything": row("between", None, priority=5),
        "optional entry": row("optionally", one, priority=5),
        "optional entry of everything": row("optionally", None, priority=5),
        "entry with metadata": row("exactly", one, metadata=b"mine"),
        "entry with an idle timeout": row("aging", one, idle_timeout_ns=HOUR),
        "default entry": {
            "modify": lambda: do(session.modify, entry("exactly", mark(1), is_default_action=True)),
            "read": lambda: read_back(
                session,
                fy.P4TableEntry("exactly", is_default_action=True),
                entry("exactly", mark(1), is_default_action=True),
            ),
            "reset": lambda: do(session.modify, fy.P4TableEntry("exactly", is_default_action=True)),
            "read reset": lambda: read_back(
                session,
                fy.P4TableEntry("exactly", is_default_action=True),
                entry("exactly", fy.Action("NoAction"), is_default_action=True),
            ),
        },
        "constant entry": {
            "read": lambda: read_back(
                session, fy.P4TableEntry("fixed"), entry("fixed", mark(8), fy.Match(what=0xFF), is_const=True)
            ),
            "insert": lambda: do(session.insert, entry("fixed", mark(1), fy.Match(what=1))),
        },
        "direct counter": with_its_entry(
            session,
            counted,
            fy.P4DirectCounterEntry("hits", table_entry=of_counted, data=counts),
            fy.P4DirectCounterEntry("hits", table_entry=of_counted),
            fy.P4DirectCounterEntry("hits"),
        ),
        "direct meter": with_its_entry(
            session,
            metered,
            fy.P4DirectMeterEntry(table_entry=of_metered, config=RATES),
            fy.P4DirectMeterEntry(table_entry=of_metered),
            fy.P4DirectMeterEntry(table_entry=fy.P4TableEntry("metered")),
        ),
        "action profile member": written(
            session,
            members[0],
            fy.P4ActionProfileMember("members", member_id=1, action=mark(3)),
            fy.P4ActionProfileMember("members"),
        ),
        "action profile group": written(
            session,
            group(1, fy.P4Member(1, weight=2), fy.P4Member(2, weight=(3, 1))),
            group(1, fy.P4Member(1, weight=1)),
            fy.P4ActionProfileGroup("members"),
            members,
        ),
        "entry of a member": indirect(
            "paired", fy.P4IndirectAction(member_id=1), fy.P4IndirectAction(member_id=2), *pairs
        ),
        "entry of a group": indirect(
            "chosen", fy.P4IndirectAction(group_id=1), fy.P4IndirectAction(group_id=2), *members, *groups
        ),
        "one-shot entry": indirect(
            "chosen",
            fy.P4IndirectAction([(2, mark(1)), ((1, 1), mark(2))]),
            fy.P4IndirectAction([(1, mark(3))]),
        ),
        "counter": cells(
            session,
            fy.P4CounterEntry("counts", index=3, data=counts),
            fy.P4CounterEntry("counts", index=3),
            fy.P4CounterEntry("counts"),
        ),
        "meter": cells(
            session,
            fy.P4MeterEntry("rates", index=3, config=RATES),
            fy.P4MeterEntry("rates", index=3),
            fy.P4MeterEntry("rates"),
        ),
        "register": cells(
            session,
            fy.P4RegisterEntry("kept", index=3, data=7),
            fy.P4RegisterEntry("kept", index=3),
            fy.P4RegisterEntry("kept"),
        ),
        "value set": cells(
            session,
            fy.P4ValueSetEntry("special", members=[P4ValueSetMember(5)]),
            fy.P4ValueSetEntry("special", members=[]),
            fy.P4ValueSetEntry("special", members=[]),
        ),
        "multicast group": written(
            session,
            fy.P4MulticastGroupEntry(5, replicas=[(1, 1), (2, 2)]),
            fy.P4MulticastGroupEntry(5, replicas=[(1, 1)]),
            fy.P4MulticastGroupEntry(),
        ),
        "multicast group with metadata": written(
            session,
            fy.P4MulticastGroupEntry(5, replicas=[(1, 1)], metadata=b"mine"),
            fy.P4MulticastGroupEntry(5, replicas=[(1, 1)], metadata=b"other"),
            fy.P4MulticastGroupEntry(5),
        ),
        "clone session": written(
            session,
            fy.P4CloneSessionEntry(7, replicas=[(1, 1)]),
            fy.P4CloneSessionEntry(7, replicas=[(1, 1), (2, 2)]),
            fy.P4CloneSessionEntry(),
        ),
        "digest": written(
            session,
            fy.P4DigestEntry("learned_t", max_list_size=1),
            fy.P4DigestEntry("learned_t", max_list_size=2, max_timeout_ns=HOUR),
            fy.P4DigestEntry("learned_t"),
        ),
        "every table": {"read": lambda: [found.table_id for found in session.read(fy.P4TableEntry())]},
        "messages of the switch": told(session),
    }


def packet(what: int) -> fy.P4PacketOut:
    return fy.P4PacketOut(bytes([what, 0, 1, 0, 0, 0, 9]), unused=0, egress_port=CPU_PORT)


def told(session: FinsySession) -> Steps:
    def packet_in() -> str:
        received = session.heard(session.subject.read_packets())
        session.send(packet(0))
        found = received()
        return f"port {found['ingress_port']}: {found.payload.hex()}"

    def digest() -> str:
        session.insert(fy.P4DigestEntry("learned_t", max_list_size=1))
        received = session.heard(session.subject.read_digests("learned_t"))
        session.send(packet(1))
        lists = received()
        session.send(lists.ack())
        session.delete(fy.P4DigestEntry("learned_t", max_list_size=1))
        return f"{[[each['value'], each['port']] for each in lists]}"

    def timeout() -> str:
        received = session.heard(session.subject.read_idle_timeouts())
        aging = entry("aging", mark(1), fy.Match(value=1), idle_timeout_ns=1_000_000)
        session.insert(aging)
        (named,) = received()
        session.delete(aging)
        return f"{named.table_id}: {named.match['value']}"

    return {"a packet out and in": packet_in, "a digest, acknowledged": digest, "an idle timeout": timeout}


async def outcomes_of_finsy(
    address: str, election_id: int, p4info: Path, program: Path
) -> dict[str, dict[str, str]]:
    """A whole session. Then a second client asks the switch for its pipeline."""
    async with controlled(address, initial_election_id=election_id, p4info=p4info, p4blob=program) as subject:
        session = FinsySession(subject, asyncio.get_running_loop())
        found = await asyncio.to_thread(
            lambda: {kind: outcomes(each) for kind, each in steps(session).items()}
        )
    async with controlled(address, initial_election_id=election_id + 1) as reader:
        return found | {"pipeline": {"read": f"{len(list(reader.p4info.tables))} tables"}}


@asynccontextmanager
async def controlled(address: str, **options: Any) -> AsyncIterator[fy.Switch]:
    """The switch as finsy sees it, once finsy is ready. options: of fy.SwitchOptions."""
    ready = asyncio.Event()

    async def on_ready(_: fy.Switch) -> None:
        ready.set()

    subject = fy.Switch(
        "subject", address, fy.SwitchOptions(ready_handler=on_ready, fail_fast=True, **options)
    )
    async with fy.Controller([subject]):
        await asyncio.wait_for(ready.wait(), PATIENCE)
        yield subject
