"""`make p4sh`: the shell beside a controller on a switch, with what an operator types into it."""

import asyncio
import socket
from pathlib import Path

import pytest

from controller.api.app import create_app
from controller.api.serving import Server
from tests.integration.rig import Rig
from tests.integration.switches import EMBEDDED, running

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-p4sh" / "bin" / "python"
PATIENCE = 60.0

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="p4runtime-shell's environment .venv-p4sh is absent (make test makes it)"
)

TYPED = """\
vips()
pools()
buckets("web")
bucket("web", 17) in rows("buckets") or bucket("web", 17)
backends()
len(rows("buckets"))
buckets("wbe")
rows("bucket")
rows("routes")
TableEntry("routes").read(lambda entry: print("a route by", entry.action.action_name))
entry = TableEntry("buckets")(action="owners"); entry.match["pool"] = "1"; entry.match["bucket"] = "1"
for name in ("current", "previous", "standby", "announced", "motion"): entry.action[name] = "0"

entry.modify()
"""


async def typed(address: str, path: Path) -> str:
    """What the shell prints when TYPED is typed."""
    command = [str(ROOT / "topo" / "p4sh.py"), "--grpc-addr", address, "--socket", str(path)]
    shell = await asyncio.create_subprocess_exec(
        str(PYTHON),
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"TERM": "dumb", "HOME": str(path.parent), "IPYTHONDIR": str(path.parent)},
    )
    async with asyncio.timeout(PATIENCE):
        out, _ = await shell.communicate(TYPED.encode())
    return out.decode()


async def test_it_looks_by_our_names_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sluice.sock"
    with running(EMBEDDED) as switch, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        async with Rig(switch) as rig:
            await rig.synchronized()
            server = Server(create_app(rig.controller))
            serving = asyncio.create_task(server.serve([listener]))
            before = await rig.owners()
            said = await typed(switch.address, path)
            nobody = await typed(switch.address, tmp_path / "none")
            assert await rig.owners() == before
            assert rig.controller.report().switch.primary
            server.should_exit = True
            await serving
    lines = [" ".join(line.split()) for line in said.splitlines()]
    for expected in (
        "10.0.0.100 tcp 80 web 0",
        "fd00::100 udp 53 dns 0",
        "web 256 0",
        "web/b1 86 86 85",
        "256 buckets, 0 of them moving",
        "1 web/b1 10.0.1.11 8080 0",
    ):
        assert any(expected in line for line in lines), expected
    assert "Bucket(number=17, current='web/b" in said
    assert ".route.via" in said
    assert "destination=10.0.0.0/24 -> connected()" in said, "numbers of addresses are shown as such"
    assert "no pool 'wbe'; there is: dns, web" in said
    assert "no table 'bucket'; there is: " in said
    assert "this shell looks only" in said
    assert "pool 1" in nobody and "backend 1" in nobody
