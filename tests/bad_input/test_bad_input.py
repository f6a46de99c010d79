"""Every case of `cases.yaml`: refused, in exactly these words, with everything left as it was.

A case is one of

    edit: {OLD: NEW}         the right document with a piece replaced, brought by `sluice apply`
    document: TEXT           a whole document, the same way
    made: HOW                one that is too large, or of bytes that no YAML file should hold
    command: WORDS           a command line; `none.yaml`, `token` and the like are files beside it
    request: METHOD PATH     a request, with its `body`, `headers`, and `type`
"""

import asyncio
import shlex
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from controller.api.app import create_app
from controller.api.serving import Server
from controller.api.tokens import digest
from controller.cli.main import main
from controller.config import parse
from controller.controller import Controller
from controller.daemon import P4INFO, PIPELINE
from controller.store import SqliteStore
from controller.wire import SwitchTarget
from tests.fakes.controller import DOCUMENT

CASES = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text())
NAMES = [case["shows"] for case in CASES]
PATIENCE = 20.0

MADE = {
    "latin-1": lambda: DOCUMENT.replace("b2", "bücher").encode("latin-1"),
    "nul": lambda: DOCUMENT.replace("b2", "b\0").encode(),
    "100 MB": lambda: DOCUMENT.encode() + b"# " + b"x" * (100 << 20) + b"\n",
    "bomb": lambda: "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]\n" for n in range(10)
    ).encode(),
    "deep": lambda: b"a: " + b"[" * 1000 + b"]" * 1000,
}

FILES = {
    "right.yaml": (DOCUMENT, 0o644),
    "token": ("sluice_0123456789\n", 0o600),
    "open": ("sluice_0123456789\n", 0o644),
    "empty": ("", 0o600),
    "tokens": (f"alice write {digest('sluice_0123456789')}\n", 0o600),
    "plain": ("alice write sluice_0123456789\n", 0o600),
    "pem": ("-----BEGIN CERTIFICATE-----\n", 0o600),
}


class Daemon:
    """The API of a real controller with a real store, on a unix socket of this process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "sluice.sock"
        self._store = SqliteStore(folder / "sluice.db")
        target = SwitchTarget("127.0.0.1:1")
        self._controller = Controller(
            parse(DOCUMENT), self._store, target=target, p4info=P4INFO, pipeline=PIPELINE
        )
        self._server = Server(create_app(self._controller))

    def serve(self) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path))
            asyncio.run(self._server.serve([listener]))

    def end(self) -> None:
        self._server.should_exit = True

    @property
    def state(self) -> tuple[Any, ...]:
        """What there is, in the memory and on the disk; and what happened."""
        controller = self._controller
        return controller.config, controller.revision, self._store.revisions(), controller.events.last


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("daemon"))
    thread = threading.Thread(target=daemon.serve)
    thread.start()
    while not daemon.path.exists():
        pass
    yield daemon
    daemon.end()
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, (text, mode) in FILES.items():
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
    return folder


def document(case: dict[str, Any]) -> bytes | None:
    """The document that a case brings; None if it brings none."""
    if "made" in case:
        return MADE[case["made"]]()
    if "document" in case:
        return case["document"].encode()
    if "edit" in case:
        ((old, new),) = case["edit"].items()
        assert DOCUMENT.count(old) == 1, f"{old!r} is not there once"
        return DOCUMENT.replace(old, new).encode()
    return None


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_it_is_refused_in_these_words_and_changes_nothing(
    case: dict[str, Any],
    daemon: Daemon,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = daemon.state
    if "request" in case:
        said = requested(case, daemon.path)
    else:
        content = document(case)
        if content is not None:
            (folder / "wrong.yaml").write_bytes(content)
        monkeypatch.chdir(folder)
        monkeypatch.setattr("controller.logs.to_stderr", lambda *_: None)  # it would outlive the test
        monkeypatch.setenv("SLUICE_SOCKET", str(daemon.path))
        monkeypatch.setenv("COLUMNS", "200")
        for name in ("SLUICE_SERVER", "SLUICE_TOKEN_FILE", "SLUICE_CA_FILE"):
            monkeypatch.setenv(name, "")
        code = main(shlex.split(case.get("command", "apply -f wrong.yaml")))
        said = {"code": code, "says": capfd.readouterr().err.strip()}
    assert daemon.state == before
    assert said == {key: case[key] for key in said}


def requested(case: dict[str, Any], path: Path) -> dict[str, Any]:
    method, _, target = case["request"].partition(" ")
    headers = {"Content-Type": case.get("type", "application/json")} | case.get("headers", {})
    transport = httpx.HTTPTransport(uds=str(path))
    with httpx.Client(transport=transport, base_url="http://sluice", timeout=PATIENCE) as client:
        # As it is, without the client's own idea of what a path should be.
        request = client.build_request(method, "/", content=case.get("body", "").encode(), headers=headers)
        request.url = request.url.copy_with(raw_path=target.encode())
        answer = client.send(request).json()
        status = client.send(request).status_code
    words = [answer["where"], answer["error"], answer["hint"]]
    words += [f"{m['path']}: {m['message']}" for m in answer["mistakes"][1:]]
    return {"code": status, "says": " | ".join(filter(None, words))}


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60
    assert len(set(NAMES)) == len(NAMES)
