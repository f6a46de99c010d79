"""`sluice ...` in this process, against an API with a fake controller behind it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from controller.api.app import create_app
from controller.cli.main import main
from tests.fakes.cli import Cli, Printed
from tests.fakes.controller import FakeController
from tests.fakes.serving import serving


@pytest.fixture
def controller() -> FakeController:
    return FakeController()


@pytest.fixture(scope="module")
def api() -> FastAPI:
    """One for all tests: to start a server takes longer than most of them. `cli` puts the controller in."""
    return create_app(FakeController())


@pytest.fixture(scope="module")
def socket_path(api: FastAPI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("cli") / "sluice.sock"
    with serving(api, path):
        yield path


@pytest.fixture
def cli(
    controller: FakeController,
    api: FastAPI,
    socket_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Cli]:
    """Runs `sluice ...` in this process against the fake controller."""
    monkeypatch.setenv("SLUICE_SOCKET", str(socket_path))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("USER", "alice")
    monkeypatch.setenv("LOGNAME", "alice")

    def run(*arguments: str) -> Printed:
        code = main(arguments)
        captured = capsys.readouterr()
        return Printed(code, captured.out, captured.err)

    api.state.controller = controller
    yield run
    monkeypatch.undo()
    time.tzset()
