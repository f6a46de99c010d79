"""TLS to the switch: the embedded one in this process, with and without what each side asks for."""

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.credentials import SwitchTls
from controller.daemon import P4INFO, PIPELINE
from controller.errors import StartError, Unreachable
from controller.wire import Connection, Pipeline, SwitchTarget
from switch.server.device import Device
from switch.server.listening import Tls
from switch.server.server import Server
from tests.switch.certificates import make_certificates
from tests.switch.in_process import InProcess

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is absent")

DEVICE = 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, what it signed, and another authority with a client of its own."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load(P4INFO, PIPELINE)


@contextlib.contextmanager
def switch(tls: Tls | None) -> Iterator[str]:
    device = Device(DEVICE, InProcess())
    server = Server(device, "127.0.0.1:0", tls)
    server.start()
    try:
        yield server.address
    finally:
        server.stop()
        device.close()


async def refusal(address: str, pipeline: Pipeline, tls: SwitchTls | None) -> str:
    """Why there is no connection; "" if there is one."""
    try:
        async with Connection(SwitchTarget(address, DEVICE, tls=tls), pipeline) as connection:
            assert await connection.cookie() is None
    except Unreachable as error:
        return str(error).removeprefix("no connection to the switch: ")
    return ""


def ours(folder: Path, authority: str = "authority", own: str | None = None) -> SwitchTls:
    files = (folder / f"{own}.pem", folder / f"{own}.key") if own else (None, None)
    return SwitchTls(folder / f"{authority}.pem", *files)


def test_who_is_served_and_what_the_others_hear(folder: Path, pipeline: Pipeline) -> None:
    pem = {file.name: file.read_bytes() for file in folder.iterdir()}
    certificate, key, authority = pem["switch.pem"], pem["switch.key"], pem["authority.pem"]
    wants_a_certificate = "it hung up; does it want a certificate of ours that it trusts?"
    not_accepted = "its certificate is not accepted: it is of another authority than --switch-ca, "
    with switch(Tls(certificate, key, authority, with_client_auth=True)) as address:
        for tls, said in (
            (ours(folder, own="controller"), ""),
            (ours(folder, own="intruder"), wants_a_certificate),
            (ours(folder), wants_a_certificate),
            (ours(folder, "stranger", "controller"), not_accepted),
            (None, "it hung up; does it want TLS (--switch-ca)?"),
        ):
            assert asyncio.run(refusal(address, pipeline, tls)).startswith(said)
    with switch(Tls(certificate, key, authority, with_client_auth=False)) as address:
        assert asyncio.run(refusal(address, pipeline, ours(folder))) == ""
    with switch(None) as address:
        said = "it does not speak TLS: leave --switch-ca out, or have it serve with --grpc-server-ssl"
        assert asyncio.run(refusal(address, pipeline, ours(folder))) == said
        assert asyncio.run(refusal(address, pipeline, None)) == ""


def test_a_renewed_certificate_is_taken_by_the_next_connection(
    folder: Path, pipeline: Pipeline, tmp_path: Path
) -> None:
    pem = {file.name: file.read_bytes() for file in folder.iterdir()}
    for name in ("authority.pem", "controller.pem", "controller.key"):
        (tmp_path / name).write_bytes(pem[name.replace("controller", "intruder")])
    tls = ours(tmp_path, own="controller")
    with switch(
        Tls(pem["switch.pem"], pem["switch.key"], pem["authority.pem"], with_client_auth=True)
    ) as address:
        assert asyncio.run(refusal(address, pipeline, tls)) != ""
        for name in ("controller.pem", "controller.key"):
            (tmp_path / name).write_bytes(pem[name])
        assert asyncio.run(refusal(address, pipeline, tls)) == ""


def test_what_cannot_be_used_is_told_at_the_start(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    for tls, said in (
        (SwitchTls(tmp_path / "none"), "--switch-ca: {}/none cannot be read: No such file or directory"),
        (SwitchTls(tmp_path / "text"), "--switch-ca: {}/text is no PEM file"),
        (
            SwitchTls(folder / "authority.pem", certificate=folder / "controller.pem"),
            "--switch-certificate and --switch-key belong together: name both, or neither",
        ),
    ):
        with pytest.raises(StartError) as refused:
            tls.check()
        assert str(refused.value) == said.format(tmp_path)
