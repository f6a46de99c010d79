"""p4runtime-shell's steps with each kind of entity, run in that shell's own environment.

    .venv-p4sh/bin/python -m tests.switch.p4sh_session ADDRESS ELECTION_ID P4INFO PROGRAM

Prints, as JSON, what came of each step (client_steps.py) with the program entities.p4.
"""

# pyright: reportMissingImports=false

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import p4runtime_sh.shell as sh
from google.rpc import code_pb2
from p4runtime_sh.p4runtime import (
    P4RuntimeErrorFormatException,
    P4RuntimeErrorIterator,
    P4RuntimeException,
    P4RuntimeWriteException,
)

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

PATIENCE = 30  # seconds; everything here is done in a few milliseconds
CPU_PORT = 255
HOUR = 3_600_000_000_000  # nanoseconds
RATES = {"cir": 1, "cburst": 2, "pir": 3, "pburst": 4}
COUNTED, METERED = "MyIngress.counted", "MyIngress.metered"  # direct resources know the whole name only
COUNTS = {"packet_count": 5, "byte_count": 500}


class ShellSession:
    """Its entities write and read themselves."""

    def insert(self, entity: Any) -> None:
        refusing(entity.insert)

    def modify(self, entity: Any) -> None:
        refusing(entity.modify)

    def delete(self, entity: Any) -> None:
        refusing(entity.delete)

    def read(self, wanted: Any) -> Sequence[Any]:
        return refusing(lambda: list(wanted.read()))

    def message(self, entity: Any) -> Any:
        return entity.msg()


def refusing(call: Callable[[], Any]) -> Any:
    """The shell loses the code of a write that fails without details; gRPC's error is the context then."""
    try:
        return call()
    except P4RuntimeWriteException as error:
        raise Refused(code_pb2.Code.Name(error.errors[-1][1].canonical_code)) from None
    except P4RuntimeErrorFormatException as error:
        raise Refused(error.__context__.code().name) from None
    except P4RuntimeException as error:
        raise Refused(code_of_read(error.grpc_error)) from None


def code_of_read(error: Any) -> str:
    if error.code() is not grpc.StatusCode.UNKNOWN:
        return error.code().name
    *_, (_, last) = P4RuntimeErrorIterator(error)
    return code_pb2.Code.Name(last.canonical_code)


def mark(value: int) -> Any:
    action = sh.Action("mark")
    action["value"] = str(value)
    return action


def entry(table: str, match: dict[str, str] | None = None, **fields: Any) -> Any:
    made = sh.TableEntry(table)(**fields)
    for field, value in (match or {}).items():
        made.match[field] = value
    return made


def one_shot(*actions: tuple[Any, int, bytes]) -> Any:
    made = sh.Oneshot("chosen")
    for action, weight, port in actions:
        made.add(action, weight=weight, watch_port=port)
    return made


def member(number: int, profile: str = "members", value: int | None = None) -> Any:
    return sh.ActionProfileMember(profile)(member_id=number, action=mark(value or number))


def group(number: int, *members: tuple[int, int, bytes]) -> Any:
    made = sh.ActionProfileGroup("members")(group_id=number)
    for member_id, weight, port in members:
        made.add(member_id, weight, watch_port=port)
    return made


def cell(of: Any, **fields: Any) -> Any:
    """fields: its index, and what is written to it."""
    for name, value in fields.items():
        setattr(of, name, value)
    return of


def digest(**fields: int) -> Any:
    return cell(sh.DigestEntry("learned_t"), **fields)


def steps(session: ShellSession) -> dict[str, Steps]:
    """By kind of entity. The shell has no registers, no value sets, and nothing to give a group metadata."""
    one = {"value": "1"}

    def row(
        table: str,
        match: dict[str, str],
        to: Sequence[dict[str, Any]] = ({"action": mark(1)}, {"action": mark(2)}),
        needs: Sequence[Any] = (),
        **fields: Any,
    ) -> Steps:
        """An entry with one action, and then with another."""
        first, second = (entry(table, match, **each, **fields) for each in to)
        return written(session, first, second, sh.TableEntry(table), needs)

    members = [member(1), member(2)]
    groups = [group(number, (number, 1, b"")) for number in (1, 2)]
    default = entry("exactly", is_default=True)
    return {
        "exact entry": row("exactly", one),
        "lpm entry": row("longest", {"address": "10.0.0.0/8"}),
        "ternary entry": row("masked", {"value": "0x0a00&&&0xff00"}, priority=5),
        "range entry": row("between", {"port": "1..5"}, priority=5),
        "range entry of everything": row("between", {}, priority=5),
        "optional entry": row("optionally", one, priority=5),
        "optional entry of everything": row("optionally", {}, priority=5),
        "entry with metadata": row("exactly", one, metadata=b"mine"),
        "entry with an idle timeout": row("aging", one, idle_timeout_ns=HOUR),
        "default entry": {
            "modify": lambda: do(session.modify, entry("exactly", is_default=True, action=mark(1))),
            "read": lambda: read_back(session, default, entry("exactly", is_default=True, action=mark(1))),
            "reset": lambda: do(session.modify, default),
            "read reset": lambda: read_back(
                session, default, entry("exactly", is_default=True, action=sh.Action("NoAction"))
            ),
        },
        "constant entry": {
            "read": lambda: read_back(
                session, sh.TableEntry("fixed"), entry("fixed", {"what": "0xff"}, action=mark(8))
            ),
            "insert": lambda: do(session.insert, entry("fixed", {"what": "1"}, action=mark(1))),
        },
        "direct counter": with_its_entry(
            session,
            entry(COUNTED, one, action=mark(1)),
            cell(sh.DirectCounterEntry("hits"), table_entry=entry(COUNTED, one), **COUNTS),
            cell(sh.DirectCounterEntry("hits"), table_entry=entry(COUNTED, one)),
            sh.DirectCounterEntry("hits"),
        ),
        "direct meter": with_its_entry(
            session,
            entry(METERED, one, action=sh.Action("measure")),
            cell(sh.DirectMeterEntry("speed"), table_entry=entry(METERED, one), **RATES),
            cell(sh.DirectMeterEntry("speed"), table_entry=entry(METERED, one)),
            sh.DirectMeterEntry("speed"),
        ),
        "action profile member": written(
            session, member(1), member(1, value=3), sh.ActionProfileMember("members")
        ),
        "action profile group": written(
            session,
            group(1, (1, 2, b""), (2, 3, b"\1")),
            group(1, (1, 1, b"")),
            sh.ActionProfileGroup("members"),
            members,
        ),
        "entry of a member": row(
            "paired",
            one,
            [{"member_id": 1}, {"member_id": 2}],
            [member(1, "actions_of_pairs"), member(2, "actions_of_pairs")],
        ),
        "entry of a group": row("chosen", one, [{"group_id": 1}, {"group_id": 2}], [*members, *groups]),
        "one-shot entry": row(
            "chosen",
            one,
            [
                {"oneshot": one_shot((mark(1), 2, b""), (mark(2), 1, b"\1"))},
                {"oneshot": one_shot((mark(3), 1, b""))},
            ],
        ),
        "counter": cells(
            session,
            cell(sh.CounterEntry("counts"), index=3, **COUNTS),
            cell(sh.CounterEntry("counts"), index=3),
            sh.CounterEntry("counts"),
        ),
        "meter": cells(
            session,
            cell(sh.MeterEntry("rates"), index=3, **RATES),
            cell(sh.MeterEntry("rates"), index=3),
            sh.MeterEntry("rates"),
        ),
        "multicast group": written(
            session,
            sh.MulticastGroupEntry(5).add(1, 1).add(2, 2),
            sh.MulticastGroupEntry(5).add(1, 1),
            sh.MulticastGroupEntry(),
        ),
        "clone session": written(
            session,
            sh.CloneSessionEntry(7).add(1, 1),
            sh.CloneSessionEntry(7).add(1, 1).add(2, 2),
            sh.CloneSessionEntry(),
        ),
        "digest": written(
            session,
            digest(max_list_size=1),
            digest(max_list_size=2, max_timeout_ns=HOUR),
            sh.DigestEntry("learned_t"),
        ),
        "messages of the switch": told(session),
        "pipeline": {"read": lambda: f"{len(sh.client.get_p4info().tables)} tables"},
    }


def send(what: int) -> None:
    sh.PacketOut(bytes([what, 0, 1, 0, 0, 0, 9]), egress_port=str(CPU_PORT), unused="0").send()


def told(session: ShellSession) -> Steps:
    """The shell's `sniff` waits its whole time; these take the first message from the same queues."""

    def packet() -> str:
        received = sh.PacketIn()
        send(0)
        found = received.packet_in_queue.get(timeout=PATIENCE).packet
        return f"port {found.metadata[0].value[-1]}: {found.payload.hex()}"

    def learned() -> str:
        """The shell acknowledges by itself."""
        session.insert(digest(max_list_size=1))
        received = sh.DigestList()
        send(1)
        lists = received.digest_list_queue.get(timeout=PATIENCE).digest
        session.delete(digest(max_list_size=1))
        return str([[member.bitstring[-1] for member in each.struct.members] for each in lists.data])

    def timeout() -> str:
        received = sh.IdleTimeoutNotification()
        aging = entry("aging", {"value": "1"}, action=mark(1), idle_timeout_ns=1_000_000)
        session.insert(aging)
        (named,) = received.notification_queue.get(timeout=PATIENCE).idle_timeout_notification.table_entry
        session.delete(aging)
        assert named.table_id == aging.id
        return f"aging: {named.match[0].exact.value[-1]}"

    return {"a packet out and in": packet, "a digest, acknowledged": learned, "an idle timeout": timeout}


def run(address: str, election_id: str, p4info: str, program: str) -> dict[str, dict[str, str]]:
    """Verbose, by default: the shell's two options are one, and without it byte strings are padded."""
    sh.setup(
        device_id=1,
        grpc_addr=address,
        election_id=(0, int(election_id)),
        config=sh.FwdPipeConfig(p4info, program),
    )
    found = {kind: outcomes(each) for kind, each in steps(ShellSession()).items()}
    sh.teardown()
    return found


def main() -> None:
    with contextlib.redirect_stdout(sys.stderr):  # what it says meanwhile
        found = run(*sys.argv[1:])
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # the shell's own threads would keep the process
    os._exit(0)
