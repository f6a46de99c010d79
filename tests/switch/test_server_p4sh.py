"""p4runtime-shell, a client that others wrote, against the service.

It needs an older protobuf than the rest of the project, and therefore an environment of its own.
"""

import subprocess
from pathlib import Path

import pytest

from tests.switch.client import PROGRAMS
from tests.switch.conftest import Running

PYTHON = Path(__file__).parents[2] / ".venv-p4sh" / "bin" / "python"
SESSION = Path(__file__).parent / "p4sh_session.py"

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="p4runtime-shell's environment .venv-p4sh is absent (make test makes it)"
)


def test_a_session(switch: Running) -> None:
    arguments = [switch.address, PROGRAMS / "service.p4info.txtpb", PROGRAMS / "service.json"]
    shell = subprocess.Popen(
        [PYTHON, SESSION, *arguments],
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
    assert (6, b"a packet out, from the shell") in switch.data_plane.sent
