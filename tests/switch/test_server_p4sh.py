"""p4runtime-shell, a client that others wrote, against the service.

It needs an older protobuf than the rest of the project, and therefore an environment of its own.
"""

import subprocess
from pathlib import Path

import pytest
from google.protobuf import text_format

from tests.switch import test_server_profiles
from tests.switch.client import PROGRAMS
from tests.switch.conftest import Running

PYTHON = Path(__file__).parents[2] / ".venv-p4sh" / "bin" / "python"
SESSION = Path(__file__).parent / "p4sh_session.py"

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="p4runtime-shell's environment .venv-p4sh is absent (make test makes it)"
)


def run(session: str, p4info: Path, program: Path, switch: Running) -> None:
    """Runs a session to its end, and lets the packets arrive that it asks for."""
    shell = subprocess.Popen(
        [PYTHON, SESSION, session, switch.address, p4info, program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert shell.stdin is not None and shell.stdout is not None and shell.stderr is not None
    try:
        for line in shell.stdout:
            match line.split():
                case ["packet", port, frame]:
                    switch.data_plane.receive(int(port), bytes.fromhex(frame))
                    shell.stdin.write("ok\n")
                    shell.stdin.flush()
                case ["done"]:
                    break
        else:
            pytest.fail(shell.stderr.read())
    finally:
        shell.kill()
        shell.communicate()


def test_tables_counters_groups_packets_and_digests(switch: Running) -> None:
    run("service", PROGRAMS / "service.p4info.txtpb", PROGRAMS / "service.json", switch)
    assert (6, b"a packet out, from the shell") in switch.data_plane.sent


def test_members_groups_and_one_shot_entries(switch: Running, tmp_path: Path) -> None:
    config = test_server_profiles.config()
    (tmp_path / "p4info").write_text(text_format.MessageToString(config.p4info))
    (tmp_path / "program.json").write_bytes(config.p4_device_config)
    run("profiles", tmp_path / "p4info", tmp_path / "program.json", switch)
    assert test_server_profiles.spread(switch, 2) == [7, 7]
