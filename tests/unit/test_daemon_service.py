"""The daemon as a service: checked, reloaded, watched by systemd, reached by TCP, with TLS to the switch."""

import errno
import grp
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.api import listening
from controller.api.client import Client, Refused, Remote, Unreachable
from controller.api.schemas import Status
from controller.api.tokens import Role, digest, new_token
from tests.fakes.daemon import DOCUMENT, PATIENCE, Daemon, closed_port, embedded_switch, sluice, wait_for
from tests.switch.certificates import make_certificate

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is absent")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Not started; nobody is at the switch's address."""
    daemon = Daemon(tmp_path, DOCUMENT.format(switch=f"127.0.0.1:{closed_port()}"))
    yield daemon
    daemon.end()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, what it signed, and a stranger."""
    folder = tmp_path_factory.mktemp("certificates")
    for name, signer in (
        ("authority", None),
        ("api", "authority"),
        ("switch", "authority"),
        ("controller", "authority"),
        ("stranger", None),
    ):
        make_certificate(folder, name, signer)
    return folder


def told(daemon: Daemon) -> list[str]:
    return [event.text for event in daemon.events() if event.kind == "daemon"]


# Checking


def test_a_check_says_what_is_right_and_touches_nothing(daemon: Daemon) -> None:
    done = subprocess.run(
        sluice("daemon", "--check", "-c", str(daemon.config), "--store", str(daemon.store)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"{daemon.config} is right: 1 VIPs, 1 pools\n",
        "",
    )
    assert not daemon.store.parent.exists()
    daemon.config.write_text("switch: {}")
    done = subprocess.run(
        sluice("daemon", "--check", "-c", str(daemon.config)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{daemon.config}: line 1: switch.mac: is missing\n"


# Reloading


def test_sighup_has_the_file_read_again(daemon: Daemon) -> None:
    process = daemon.start()
    text = daemon.config.read_text()

    def reload(then: str) -> None:
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: told(daemon)[-1].startswith(then))

    reload(f"keeps its configuration: {daemon.config} has not changed")
    assert daemon.status().revision == 1

    daemon.config.write_text(text.replace("port: 80,", "port: 8000,"))
    reload(f"has taken {daemon.config}: revision 2")
    assert daemon.status().vips[0].port == 8000

    assert daemon.run("backend", "weight", "web", "b1", "3").code == 1  # stored; there is no switch
    reload(f"keeps its configuration: {daemon.config} has not changed")
    assert daemon.backends()["b1"].weight == 3

    daemon.config.write_text(text.replace("pool: web}", "pool: wbe}"))
    reload(f"keeps its configuration: {daemon.config} is refused")
    (event,) = [event for event in daemon.events() if event.text.endswith("is refused")]
    assert event.cause == "line 14: vips[web].pool: there is no pool named wbe; there is: web"
    assert daemon.status().revision == 3

    # What the file said last is in the store: a restart makes no change of it.
    process.terminate()
    process.wait(PATIENCE)
    daemon.config.write_text(text.replace("port: 80,", "port: 8000,"))
    daemon.start()
    assert daemon.status().revision == 3
    assert daemon.backends()["b1"].weight == 3


# Deadlines


def test_a_deadline_is_kept_by_a_daemon_that_was_killed_meanwhile(daemon: Daemon) -> None:
    process = daemon.start()
    # The command ends at once: exit code 1, since there is no switch.
    drain = ("backend", "drain", "web", "b1", "--deadline", "2s", "--at-deadline", "cut")
    assert daemon.run(*drain).code == 1
    assert daemon.backends()["b1"].deadline is not None
    process.kill()
    process.wait(PATIENCE)
    daemon.start()
    wait_for(lambda: daemon.backends()["b1"].state == "disabled")
    assert daemon.backends()["b1"].deadline is None
    (event,) = [event for event in daemon.events() if event.subject == "web/b1"]
    assert event.text == "is disabled: the deadline of its drain has passed"
    changed = daemon.status().changed
    assert (changed.who, changed.what) == ("deadline", "backend web/b1: disabled at its deadline")


# systemd


def test_systemd_is_told_of_readiness_life_reload_and_end(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)

        def heard(message: str) -> None:
            """Reads on until `message`; whatever comes before is a sign of life."""
            while not (said := systemd.recv(1000).decode()).startswith(message):
                assert said == "WATCHDOG=1"

        process = daemon.start()
        heard("READY=1")
        for _ in range(3):
            heard("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        heard("RELOADING=1\nMONOTONIC_USEC=")
        heard("READY=1")
        os.kill(process.pid, signal.SIGSTOP)  # a daemon that hangs says nothing
        systemd.settimeout(1.0)
        with pytest.raises(TimeoutError):
            while True:
                systemd.recv(1000)
        os.kill(process.pid, signal.SIGCONT)
        systemd.settimeout(PATIENCE)
        process.terminate()
        heard("STOPPING=1")
        assert process.wait(PATIENCE) == 0


def test_its_log_in_json(daemon: Daemon) -> None:
    daemon.start("--log-format", "json").terminate()
    daemon.processes[0].wait(PATIENCE)
    assert '"event": {"number": 1, ' in daemon.log.read_text()


# A group


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to any group")
def test_a_group_may_use_the_socket(daemon: Daemon) -> None:
    daemon.start("--group", "daemon")
    for path, mode in ((daemon.socket, 0o660), (daemon.socket.parent, 0o750)):
        assert (path.group(), path.stat().st_mode & 0o777) == ("daemon", mode)


def test_its_own_group_may_use_the_socket_of_a_daemon_that_may_not_change_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the unit has it: its filter of system calls lets nobody."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    path = tmp_path / "sluice.sock"
    with listening.unix_socket(path, grp.getgrgid(os.getegid()).gr_name):
        assert path.stat().st_mode & 0o777 == 0o660


def test_a_group_that_there_is_not(daemon: Daemon) -> None:
    assert daemon.refused("--group", "wombats") == (
        1,
        "sluice: there is no group wombats; name one of the system's with --group\n",
    )


# TCP


def by_tcp(daemon: Daemon, certificates: Path, tokens: dict[str, str]) -> list[str]:
    file = daemon.folder / "tokens"
    file.touch(0o600)
    file.write_text(
        "".join(
            f"{name} {role} {digest(token)}\n"
            for (name, token), role in zip(tokens.items(), (Role.READ, Role.WRITE), strict=False)
        )
    )
    return [
        "--listen",
        "127.0.0.1:0",
        "--tokens",
        str(file),
        "--certificate",
        str(certificates / "api.pem"),
        "--key",
        str(certificates / "api.key"),
    ]


def remote(daemon: Daemon, token: str, authority: Path) -> Remote:
    file = daemon.folder / "token"
    file.touch(0o600)
    file.write_text(token + "\n")
    (url,) = re.findall(r"https://[\d.:]+", daemon.ready)
    return Remote(url, file, authority)


def refusal(place: Remote) -> str:
    """Why the status is not told; "" if it is."""
    with Client(place) as api:
        try:
            api.get(Status, "status")
        except Refused as error:
            return error.refusal.error
    return ""


@needs_openssl
def test_by_tcp_as_far_as_a_token_goes(daemon: Daemon, certificates: Path) -> None:
    reader, writer = new_token(), new_token()
    authority = certificates / "authority.pem"
    process = daemon.start(*by_tcp(daemon, certificates, {"prometheus": reader, "alice": writer}))

    def asking(token: str) -> Remote:
        return remote(daemon, token, authority)

    assert refusal(asking(reader)) == ""
    assert refusal(asking(new_token())) == "this token is not known here"
    with (
        Client(asking(reader)) as api,
        pytest.raises(Refused, match="the token of prometheus is for reading"),
    ):
        api.patch("pools", "web", "backends", "b1", body={"weight": 3})
    assert daemon.status().revision == 1
    with Client(asking(writer)) as api:
        api.patch("pools", "web", "backends", "b1", body={"weight": 3})
    changed = daemon.status().changed
    assert (changed.number, changed.who, changed.what) == (2, "alice", "backend web/b1: weight 3")

    # A token is withdrawn.
    by_tcp(daemon, certificates, {"prometheus": reader})
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: told(daemon)[-1].startswith("has read its tokens"))
    assert refusal(asking(writer)) == "this token is not known here"
    assert refusal(asking(reader)) == ""

    # What is not right leaves things as they are.
    (daemon.folder / "tokens").write_text("nonsense\n")
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: told(daemon)[-1].startswith("keeps its tokens"))
    assert refusal(asking(reader)) == ""
    log = daemon.log.read_text()
    assert reader not in log and writer not in log


@needs_openssl
def test_tcp_is_tls_of_a_server_that_the_client_knows(daemon: Daemon, certificates: Path) -> None:
    token = new_token()
    daemon.start(*by_tcp(daemon, certificates, {"prometheus": token}))
    with pytest.raises(Unreachable) as deceived:
        refusal(remote(daemon, token, certificates / "stranger.pem"))
    assert "its certificate is not accepted: unable to get local issuer certificate" in str(deceived.value)
    (port,) = re.findall(r"https://127.0.0.1:(\d+)", daemon.ready)
    with socket.create_connection(("127.0.0.1", int(port)), PATIENCE) as plain:
        plain.sendall(b"GET /v1/status HTTP/1.1\r\nHost: sluice\r\n\r\n")
        assert not plain.recv(1000).startswith(b"HTTP")

    # The command line, as a user has it.
    asked = remote(daemon, token, certificates / "authority.pem")
    options = [
        "--server",
        asked.url,
        "--token-file",
        str(asked.token_file),
        "--ca-file",
        str(asked.authority),
    ]
    done = subprocess.run(sluice(*options, "drops"), capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")


# TLS to the switch


@needs_openssl
def test_the_switch_is_spoken_to_with_tls(tmp_path: Path, certificates: Path) -> None:
    authority, *own = (str(certificates / name) for name in ("authority.pem", "switch.pem", "switch.key"))
    with embedded_switch(
        "--grpc-server-ssl", "--grpc-server-cert", own[0], "--grpc-server-key", own[1]
    ) as address:
        daemon = Daemon(tmp_path, DOCUMENT.format(switch=address))
        try:
            daemon.start("--switch-ca", authority)
            wait_for(lambda: daemon.status().switch.synchronized)
        finally:
            daemon.end()
