"""Sessions of p4runtime-shell, run in that shell's own environment.

    p4sh_session.py SESSION ADDRESS P4INFO PROGRAM

SESSION is `service` (the program service.p4) or `profiles` (that of test_server_profiles.py).

Asserts what it sees. Asks for packets on standard output ("packet PORT HEX"), and ends with "done".
"""

# pyright: reportMissingImports=false

import os
import sys
import traceback

import p4runtime_sh.shell as sh
from p4runtime_sh.p4runtime import P4RuntimeWriteException

TIMEOUT = 2  # seconds that a sniff waits, always in full


def packet(port: int, frame: bytes) -> None:
    """Let this arrive at the switch."""
    print(f"packet {port} {frame.hex()}", flush=True)
    assert input() == "ok"


def frame(destination: int, kind: int) -> bytes:
    return (
        destination.to_bytes(6, "big") + bytes.fromhex("020000000005") + kind.to_bytes(2, "big") + bytes(46)
    )


def tables() -> None:
    entry = sh.TableEntry("bridge")(action="forward")
    entry.match["destination"] = "1"
    entry.action["port"] = "2"
    entry.insert()
    (found,) = list(sh.TableEntry("bridge").read())
    assert found.action["port"].value == b"\x02"
    entry.action["port"] = "3"
    entry.modify()
    (found,) = list(sh.TableEntry("bridge").read())
    assert found.action["port"].value == b"\x03"
    try:
        entry.insert()
    except P4RuntimeWriteException as error:
        assert "ALREADY_EXISTS" in str(error), error
    else:
        raise AssertionError("an entry was inserted twice")
    entry.delete()
    assert list(sh.TableEntry("bridge").read()) == []

    rule = sh.TableEntry("acl")(action="mark")
    rule.match["source"] = "0x0200&&&0xff00"
    rule.match["type"] = "0x800"
    rule.match["port"] = "1..5"
    rule.action["value"] = "7"
    rule.priority = 10
    rule.insert()
    (found,) = list(sh.TableEntry("acl").read())
    assert found.match["port"].range.high == b"\x05"
    rule.delete()

    default = sh.TableEntry("bridge")(action="forward", is_default=True)
    default.action["port"] = "4"
    default.modify()
    assert len(list(sh.TableEntry("fixed").read())) == 2


def counters_and_groups() -> None:
    packet(3, frame(9, 0x2222))
    counter = sh.CounterEntry("both")
    counter.index = 3
    (found,) = list(counter.read())
    assert (found.packet_count, found.byte_count) == (1, 60)
    group = sh.MulticastGroupEntry(5).add(1, 1).add(2, 2)
    group.insert()
    (found,) = list(sh.MulticastGroupEntry(5).read())
    assert [(replica.egress_port, replica.instance) for replica in found.replicas] == [(1, 1), (2, 2)]
    group.delete()
    session = sh.CloneSessionEntry(7).add(1, 1)
    session.insert()
    session.delete()


def packets_and_digests() -> None:
    entry = sh.TableEntry("bridge")(action="to_controller")
    entry.match["destination"] = "1"
    entry.action["reason"] = "5"
    entry.insert()
    received = sh.PacketIn()
    packet(3, frame(1, 0x88B5))
    (message,) = list(received.sniff(timeout=TIMEOUT))
    assert message.packet.payload == frame(1, 0x88B5)
    assert [m.value for m in message.packet.metadata] == [b"\x03", b"\x05"]

    out = sh.PacketOut(b"a packet out, from the shell", egress_port="6", unused="0")
    out.send()

    digest = sh.DigestEntry("learned_t")
    digest.max_list_size = 1
    digest.insert()
    lists = sh.DigestList()
    packet(3, frame(9, 0x1111))
    (message,) = list(lists.sniff(timeout=TIMEOUT))
    assert message.digest.data[0].struct.members[0].bitstring == bytes.fromhex("020000000005")


def service() -> None:
    tables()
    counters_and_groups()
    packets_and_digests()


def profiles() -> None:
    for number in (1, 2):
        member = sh.ActionProfileMember("shared")(member_id=number, action="set_b")
        member.action["value"] = str(number)
        member.insert()
    assert [m.member_id for m in sh.ActionProfileMember("shared").read()] == [1, 2]
    group = sh.ActionProfileGroup("shared")(group_id=4)
    group.add(1, 3).add(2, 1)
    group.insert()
    (found,) = list(sh.ActionProfileGroup("shared").read())
    assert [(m.member_id, m.weight) for m in found.members] == [(1, 3), (2, 1)]
    entry = sh.TableEntry("t")
    entry.match["h.a"] = "1"
    entry.group_id = 4
    entry.insert()
    (found,) = list(sh.TableEntry("t").read())
    assert found.group_id == 4
    entry.delete()
    group.delete()
    for number in (1, 2):
        sh.ActionProfileMember("shared")(member_id=number).delete()
    shot = sh.TableEntry("t")
    shot.match["h.a"] = "1"
    action = sh.Action("set_b")
    action["value"] = "7"
    shot.oneshot.add(action, weight=2)
    shot.insert()
    (found,) = list(sh.TableEntry("t").read())
    assert "weight: 2" in str(found)


SESSIONS = {"service": service, "profiles": profiles}


def main() -> None:
    session, address, p4info, program = sys.argv[1:]
    sh.setup(
        device_id=1,
        grpc_addr=address,
        election_id=(0, 1),
        config=sh.FwdPipeConfig(p4info, program),
        verbose=False,
    )
    SESSIONS[session]()
    sh.teardown()
    print("done", flush=True)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # the shell's own threads would keep the process
