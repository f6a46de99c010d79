"""finsy and p4runtime-shell, unmodified, with every kind of entity: on ours, and on simple_switch_grpc.

What they do is in finsy_steps.py and p4sh_session.py, what comes of it in client_outcomes.py. p4runtime-shell
needs an older protobuf than the rest of the project, and therefore an environment of its own.
"""

import asyncio
import json
import subprocess
from collections.abc import Callable

import pytest

from tests.switch.bmv2_differences import election_ids
from tests.switch.both_switches import Addresses
from tests.switch.client import PROGRAMS
from tests.switch.client_outcomes import CLIENTS, FINSY, LACKED, OUTCOMES, SHELL, Outcomes, expected
from tests.switch.finsy_steps import outcomes_of_finsy
from topo.lab import PROJECT

PROGRAM = (PROGRAMS / "entities.p4info.txtpb", PROGRAMS / "entities.json")
SHELLS_PYTHON = PROJECT / ".venv-p4sh" / "bin" / "python"
SESSION = ["-m", "tests.switch.p4sh_session"]
PATIENCE = 120.0  # seconds for a whole session, which takes one

SWITCHES = ["embedded", pytest.param("bmv2", marks=pytest.mark.bmv2)]


def by_finsy(address: str) -> Outcomes:
    return asyncio.run(outcomes_of_finsy(address, next(election_ids), *PROGRAM))


def by_the_shell(address: str) -> Outcomes:
    if not SHELLS_PYTHON.exists():
        pytest.skip("p4runtime-shell's environment .venv-p4sh is absent (make test makes it)")
    command = [SHELLS_PYTHON, *SESSION, address, str(next(election_ids)), *PROGRAM]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SESSIONS: dict[str, Callable[[str], Outcomes]] = {FINSY: by_finsy, SHELL: by_the_shell}


@pytest.fixture(scope="module", params=SWITCHES)
def switch_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=CLIENTS)
def session(request: pytest.FixtureRequest, switch_name: str) -> tuple[Outcomes, Outcomes]:
    """A client's whole session with a switch: what was expected, and what came."""
    addresses: Addresses = request.getfixturevalue(switch_name)
    return expected(request.param, switch_name == "bmv2"), SESSIONS[request.param](addresses[0])


@pytest.mark.parametrize("kind", OUTCOMES)
def test_written_and_read_back(kind: str, session: tuple[Outcomes, Outcomes]) -> None:
    wanted, found = session
    assert found.get(kind) == wanted.get(kind)


def test_each_client_has_every_other_kind(session: tuple[Outcomes, Outcomes]) -> None:
    wanted, found = session
    assert found.keys() == wanted.keys()


def test_what_one_client_lacks_the_other_has() -> None:
    assert set.intersection(*LACKED.values()) == set()
