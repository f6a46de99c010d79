"""The daemon as a process: how it starts, refuses, ends, what it keeps; with the command line as its user.

The switch is the embedded one, without ports, where a test needs one; elsewhere there is none at its address.
"""

import json
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.daemon import (
    DOCUMENT,
    PATIENCE,
    Daemon,
    closed_port,
    embedded_switch,
    read_line,
    sluice,
    wait_for,
)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Not started; nobody is at the switch's address."""
    daemon = Daemon(tmp_path, DOCUMENT.format(switch=f"127.0.0.1:{closed_port()}"))
    yield daemon
    daemon.end()


@pytest.fixture
def switch() -> Iterator[str]:
    with embedded_switch() as address:
        yield address


@pytest.fixture
def with_switch(tmp_path: Path, switch: str) -> Iterator[Daemon]:
    """Not started; the embedded switch is there."""
    daemon = Daemon(tmp_path, DOCUMENT.format(switch=switch))
    yield daemon
    daemon.end()


# Starting


def test_a_configuration_with_mistakes_is_refused_before_anything_is_touched(daemon: Daemon) -> None:
    daemon.config.write_text(daemon.config.read_text().replace("pool: web}", "pool: wbe}"))
    code, message = daemon.refused()
    assert code == 2
    assert message == (
        f"{daemon.config}: line 14: vips[web].pool: there is no pool named wbe; there is: web\n"
    )
    assert not daemon.socket.parent.exists()
    assert not daemon.store.parent.exists()


def test_a_configuration_that_is_not_there(daemon: Daemon) -> None:
    daemon.config.unlink()
    assert daemon.refused() == (2, f"{daemon.config}: cannot be read: No such file or directory\n")


def test_only_the_owner_may_use_the_socket(daemon: Daemon) -> None:
    daemon.start()
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(daemon.socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(daemon.store.parent.stat().st_mode) == 0o700


def test_it_serves_while_the_switch_is_away(daemon: Daemon) -> None:
    daemon.start()
    switch = daemon.status().switch
    assert not switch.connected
    assert switch.error
    printed = daemon.run("status").out
    assert "not connected" in printed
    assert "needs attention\n  switch: " in printed


def test_one_daemon_to_a_socket_and_to_a_store(daemon: Daemon) -> None:
    first = daemon.start()
    code, message = daemon.refused("--store", str(daemon.folder / "other.db"))
    assert (code, message) == (
        1,
        f"sluice: another daemon (process {first.pid}) uses {daemon.socket}; "
        f"end that one, or name another place with --socket\n",
    )
    code, message = daemon.refused("--socket", str(daemon.folder / "other.sock"))
    assert (code, message) == (
        1,
        f"sluice: another daemon (process {first.pid}) uses {daemon.store}; "
        f"end that one, or name another place with --store\n",
    )
    assert daemon.status()


def test_what_a_killed_daemon_left_is_no_obstacle(daemon: Daemon) -> None:
    first = daemon.start()
    first.kill()
    first.wait()
    assert daemon.socket.is_socket()
    assert daemon.run("status").code == 3
    daemon.start()
    assert daemon.status()


def test_a_file_where_the_socket_should_be_is_left_alone(daemon: Daemon) -> None:
    precious = daemon.folder / "precious"
    precious.write_text("data")
    code, message = daemon.refused("--socket", str(precious))
    assert code == 1
    assert f"cannot listen at {precious}: " in message
    assert "it is no socket" in message
    assert precious.read_text() == "data"


def test_a_place_that_cannot_be_written(daemon: Daemon) -> None:
    code, message = daemon.refused("--socket", "/proc/sluice/sluice.sock")
    assert code == 1
    assert message.startswith("sluice: cannot write to /proc/sluice: ")
    assert "--socket" in message


# Ending


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_its_followers(daemon: Daemon, number: signal.Signals) -> None:
    process = daemon.start()
    follower = subprocess.Popen(
        sluice("events", "--follow", "-o", "json", "--socket", str(daemon.socket)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout
    while json.loads(read_line(follower.stdout, follower))["text"] != "ready":
        pass
    process.send_signal(number)
    out, err = follower.communicate(timeout=PATIENCE)
    assert process.wait(PATIENCE) == 0
    told = [json.loads(line) for line in out.splitlines()]
    assert [event["cause"] for event in told if event["text"] == "ends"] == [number.name]
    assert follower.returncode == 3
    assert err.startswith("sluice: the daemon has ended\n")
    assert not daemon.socket.exists()


def test_its_log(daemon: Daemon) -> None:
    daemon.start().terminate()
    daemon.processes[0].wait(PATIENCE)
    log = daemon.log.read_text()
    assert " INFO    sluice.events daemon: ready (" in log
    assert " INFO    sluice.events daemon: ends (SIGTERM)\n" in log
    assert "Traceback" not in log


# What it keeps


def test_changes_outlive_it_and_the_file_is_compared(with_switch: Daemon) -> None:
    daemon = with_switch
    first = daemon.start()
    wait_for(lambda: daemon.status().switch.synchronized)
    changed = daemon.run("backend", "weight", "web", "b1", "3")
    assert changed.code == 0, changed.err
    revision = daemon.status().revision
    first.terminate()
    first.wait(PATIENCE)

    # The same file as before: what was changed since stays.
    second = daemon.start()
    assert daemon.status().revision == revision
    assert daemon.backends()["b1"].weight == 3
    (difference,) = [event for event in daemon.events() if event.text.startswith("goes on with")]
    assert f"revision {revision} of the store, which is not what {daemon.config} says" in difference.text
    assert difference.cause == "commands changed pools[web].backends[b1].weight"
    second.terminate()
    second.wait(PATIENCE)

    # The file was edited: it is what the operator wants now.
    daemon.config.write_text(daemon.config.read_text().replace("10.0.1.12", "10.0.1.13"))
    daemon.start()
    assert daemon.status().revision == revision + 1
    assert daemon.backends()["b1"].weight == 1
    assert daemon.backends()["b2"].address == "10.0.1.13"


# With a switch


def shares(daemon: Daemon) -> dict[str, int]:
    return {name: backend.buckets for name, backend in daemon.backends().items()}


def test_an_operators_day(with_switch: Daemon) -> None:
    daemon = with_switch
    daemon.start()
    wait_for(lambda: daemon.status().switch.synchronized)
    assert shares(daemon) == {"b1": 32, "b2": 32}

    def done(*arguments: str) -> str:
        result = daemon.run(*arguments)
        assert result.code == 0, result.err
        return result.out

    added = done("backend", "add", "web", "b3", "10.0.1.13:8080", "--weight", "2")
    assert added.endswith("32 buckets moved\n")
    assert shares(daemon) == {"b1": 16, "b2": 16, "b3": 32}
    done("backend", "drain", "web", "b3")
    assert shares(daemon) == {"b1": 32, "b2": 32, "b3": 0}
    assert daemon.backends()["b3"].state == "drain"
    done("backend", "enable", "web", "b3")
    done("backend", "weight", "web", "b3", "1")
    assert sorted(shares(daemon).values()) == [21, 21, 22]
    done("backend", "disable", "web", "b2")
    assert shares(daemon) == {"b1": 32, "b2": 0, "b3": 32}
    done("backend", "remove", "web", "b3", "--force")
    assert shares(daemon) == {"b1": 64, "b2": 0}

    done("vip", "remove", "web")
    assert daemon.status().vips == ()
    done("vip", "add", "shop", "10.0.0.101:80", "web")
    assert [vip.name for vip in daemon.status().vips] == ["shop"]

    document = daemon.folder / "new.yaml"
    document.write_text(done("get").replace("10.0.0.101", "10.0.0.200"))
    difference = "~ vips[shop].address: 10.0.0.101 -> 10.0.0.200\n"
    assert done("apply", "-f", str(document), "--dry-run").startswith(difference)
    assert done("apply", "-f", str(document)).startswith(difference)
    assert [vip.address for vip in daemon.status().vips] == ["10.0.0.200"]

    told = done("events", "-n", "1000")
    for what in ("backend web/b3 added", "backend web/b3: state drain", "VIP shop added", "new.yaml applied"):
        assert what in told
