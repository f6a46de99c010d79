"""What C tells of tables (runtime/reads.h) is what Python would have told.

SLUICE_FUZZ=seconds (make fuzz) makes the search long.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from finsy.proto import p4r

from switch.server import native_reads, read, read_responses
from switch.server.read_responses import responses
from tests.switch.fuzz_reads import CONFIGS, Tables
from tests.switch.test_engine_fuzz import ROOT, SECONDS, SEED, has_sanitizers, sanitized

ROUNDS = 2


@pytest.mark.parametrize("stem", CONFIGS, ids=lambda path: path.name)
def test_the_same_of_any_table(stem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the octet; in pieces of a few entries."""
    monkeypatch.setattr(native_reads, "ENTITIES_PER_RESPONSE", 7)
    tables = Tables(stem, SEED)
    for _ in range(ROUNDS):
        tables.round()
    assert tables.told_by_c > ROUNDS
    tables.close()


@pytest.mark.skipif(not has_sanitizers(), reason="gcc with its sanitizers is not there")
@pytest.mark.skipif(not SECONDS, reason="only with SLUICE_FUZZ=seconds: a sanitized build takes a while")
def test_nothing_outside_the_room_is_written() -> None:
    command = [sys.executable, "-m", "tests.switch.fuzz_reads", str(SECONDS), str(SEED)]
    done = subprocess.run(command, cwd=ROOT, env=sanitized(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    print(done.stdout)


def test_responses_are_bounded_in_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever encodes them; an entity that is longer than the bound comes by itself."""
    tables = Tables(CONFIGS[0], SEED)
    tables.round()
    entities = list(read.entities(tables.pipeline, p4r.Entity(table_entry=p4r.TableEntry())))
    bound = max(entity.ByteSize() for entity in entities) * 3
    for module in (native_reads, read_responses):
        monkeypatch.setattr(module, "OCTETS_PER_RESPONSE", bound)
    by_c = list(responses(read.select(tables.pipeline, p4r.Entity(table_entry=p4r.TableEntry()))))
    by_python = list(responses(entities))
    tables.close()
    for found in (by_c, by_python):
        assert len(found) > 5
        assert b"".join(found) == p4r.ReadResponse(entities=entities).SerializeToString()
    assert max(map(len, by_c)) <= bound
    assert max(p4r.ReadResponse.FromString(one).ByteSize() for one in by_python) < bound * 1.2
    monkeypatch.setattr(read_responses, "OCTETS_PER_RESPONSE", 1)
    assert len(list(responses(entities))) == len(entities)
