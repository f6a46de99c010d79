"""A lab takes nothing that is not its own, and leaves nothing behind, however it ends."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.conftest import EMBEDDED, WEB, assert_gone, fresh_name
from topo import namespace, processes
from topo.errors import LabBusy, NoLab, StartFailed
from topo.lab import KEEPER, PROJECT, RUN, Lab
from topo.namespace import NAMED
from topo.processes import wait_until

pytestmark = pytest.mark.root

TARGET = str(EMBEDDED.values[0])


@contextmanager
def foreign_namespace() -> Iterator[str]:
    """A namespace that somebody else made."""
    name = fresh_name()
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def topo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m topo` as make calls it, without a terminal."""
    command = [sys.executable, "-m", "topo", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )


def test_up_in_the_background_talked_to_and_down() -> None:
    name = fresh_name()
    started = topo("--name", name, "up", "--target", TARGET)
    assert started.returncode == 0, started.stderr
    lab = Lab.find(name)
    try:
        assert str(lab.socket) in started.stdout, "it says how to talk to it"
        again = topo("--name", name, "up")
        assert again.returncode == 2 and "is running already" in again.stderr
        assert "held" not in again.stdout
        asked = topo("--name", name, "requests", "40")
        assert asked.returncode == 0 and "b4" in asked.stdout, asked
        assert topo("--name", name, "server", "kill", "b5").returncode == 0
        assert not lab.running("b5")
        assert topo("--name", name, "server", "start", "b5").returncode == 0
        counters = subprocess.run([lab.run_dir / "bin" / "sluice", "switch", "counters"], capture_output=True)
        assert counters.returncode == 0, "the switch listens in the lab's namespace"
        unknown = topo("--name", name, "on", "nowhere", "true")
        assert unknown.returncode == 2 and "c1, c2" in unknown.stderr
    finally:
        ended = topo("--name", name, "down")
    assert ended.returncode == 0
    assert_gone(lab)
    assert topo("--name", name, "down").returncode == 0, "down twice is no error"


def test_a_namespace_of_somebody_else_is_left_alone() -> None:
    with foreign_namespace() as name:
        with pytest.raises(LabBusy, match="is not this project's"):
            Lab.start(name, config=WEB)
        assert (NAMED / name).exists()
        assert not (RUN / name).exists()


def test_a_run_directory_of_somebody_else_is_left_alone() -> None:
    folder = RUN / fresh_name()
    folder.mkdir()
    try:
        (folder / "sluice.sock").touch()
        with pytest.raises(LabBusy, match="is not a lab of this project"):
            Lab.start(folder.name, config=WEB)
        assert (folder / "sluice.sock").exists()
    finally:
        (folder / "sluice.sock").unlink()
        folder.rmdir()


def test_what_a_killed_lab_left_is_cleared_by_the_next_one() -> None:
    name = fresh_name()
    code = f"import topo.lab, time; topo.lab.Lab.start({name!r}, servers=['b1']); print('up'); time.sleep(60)"
    starter = subprocess.Popen([sys.executable, "-uc", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None and starter.stdout.readline() == "up\n"
    starter.kill()
    starter.wait()
    starter.stdout.close()
    old = Lab.find(name)
    keeper = old.files.find(KEEPER)
    assert keeper is not None
    keeper.send(signal.SIGKILL)
    assert wait_until(lambda: not keeper.alive(), 5.0)
    assert list(processes.with_token(old.record.token)), "the daemon and the server are orphans now"

    new = Lab.start(name, target=TARGET, config=WEB)
    try:
        assert list(processes.with_token(old.record.token)) == []
    finally:
        new.down()
    assert_gone(new)


def test_when_a_part_does_not_start_nothing_is_left(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("pools: [{name: web, buckets: 100}]\n")
    name = fresh_name()
    with pytest.raises(StartFailed, match="must be a power of two"):
        Lab.start(name, target=TARGET, config=broken)
    assert not (NAMED / name).exists() and not (RUN / name).exists()


def test_a_port_that_is_taken_is_named() -> None:
    """Two P4Runtime servers would share a port silently, so it is looked at before."""
    name = fresh_name()
    subprocess.run(["ip", "netns", "add", name], check=True)
    listen = "import socket, time; s = socket.create_server(('127.0.0.1', 9559)); print('on'); time.sleep(60)"
    try:
        subprocess.run(namespace.inside(name, ["ip", "link", "set", "lo", "up"]), check=True)
        squatter = subprocess.Popen(
            namespace.inside(name, [sys.executable, "-uc", listen]), stdout=subprocess.PIPE, text=True
        )
        assert squatter.stdout is not None and squatter.stdout.readline() == "on\n"
        start = (
            "import pathlib, topo.nodes as n; from topo.processes import ProcessFiles as F;"
            "n.start_switch('s1', ['false'], 9559, pathlib.Path('/dev/null'), '',"
            " F(pathlib.Path('/nowhere')))"
        )
        tried = subprocess.run(
            namespace.inside(name, [sys.executable, "-c", start]), cwd=PROJECT, capture_output=True, text=True
        )
        squatter.kill()
        squatter.wait()
        squatter.stdout.close()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
    assert "port 9559 is in use already" in tried.stderr


def test_find_says_what_to_do() -> None:
    with pytest.raises(NoLab, match="make up"):
        Lab.find(fresh_name())


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.soak),
        pytest.param(signal.SIGHUP, marks=pytest.mark.soak),
    ],
)
def test_a_demonstration_that_is_interrupted_leaves_nothing(number: signal.Signals) -> None:
    name = fresh_name()
    running = subprocess.Popen(
        [sys.executable, "-m", "topo", "--name", name, "run"],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if "connections a second" in line:  # the clients start
            break
    lab = Lab.find(name)
    running.send_signal(number)
    running.send_signal(number)  # an impatient operator
    running.stdout.read()
    assert running.wait(30) == 128 + number
    running.stdout.close()
    assert_gone(lab)
