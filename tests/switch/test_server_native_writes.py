"""What C does of a write (runtime/messages.h, writes.h) is what Python would have done.

SLUICE_FUZZ=seconds (make fuzz) makes the search long.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from finsy.proto import p4r
from google.protobuf.message import DecodeError

from switch.server import native_writes
from switch.server.write_message import OCTETS_PER_UPDATE, WriteMessage
from tests.switch.fuzz_writes import CONFIGS, Twins
from tests.switch.test_engine_fuzz import MOMENT, ROOT, SECONDS, SEED, has_sanitizers, sanitized

ROUNDS = 15
QUICK = "tables"
"""The program of every run: a sanitized build of others takes a while."""


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("stem", CONFIGS, ids=lambda path: path.name)
def test_the_same_of_any_request(stem: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors, their texts and what is in the tables."""
    monkeypatch.setattr(native_writes, "AT_ONCE", 2)
    twins = Twins(stem, seed)
    for _ in range(ROUNDS):
        twins.round()
    assert twins.done_in_c > ROUNDS
    twins.close()


@pytest.mark.skipif(not has_sanitizers(), reason="gcc with its sanitizers is not there")
def test_nothing_outside_the_bytes_is_looked_at() -> None:
    command = [sys.executable, "-m", "tests.switch.fuzz_writes", str(SECONDS or MOMENT), str(SEED)]
    command += [] if SECONDS else [QUICK]
    done = subprocess.run(command, cwd=ROOT, env=sanitized(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    print(done.stdout)


def test_many_small_updates_are_all_found() -> None:
    """More than the first guess has room for."""
    request = p4r.WriteRequest(updates=[p4r.Update(type=p4r.Update.DELETE)] * 1000)
    octets = request.SerializeToString()
    assert len(octets) // OCTETS_PER_UPDATE * 2 < len(request.updates)
    assert WriteMessage.parse(octets).updates() == list(request.updates)


def test_everything_beside_the_updates_is_kept() -> None:
    request = p4r.WriteRequest(device_id=7, election_id=p4r.Uint128(high=1, low=2), role="r" * 500)
    request.updates.add()
    message = WriteMessage.parse(request.SerializeToString())
    assert message.updates() == list(request.updates)
    request.ClearField("updates")
    assert message.request == request


@pytest.mark.parametrize(
    "octets",
    [b"\x22", b"\x22\x05\x08", b"\x00\x00", b"\x0f", b"\x22\x02\x12\x05", b"\x32\x01\xff"],
    ids=["no length", "cut off", "field 0", "no such type", "cut off inside", "not UTF-8"],
)
def test_what_is_no_message_is_refused(octets: bytes) -> None:
    with pytest.raises(DecodeError):
        WriteMessage.parse(octets)
