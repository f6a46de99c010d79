"""P4Runtime by TLS, with and without certificates of the clients."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from finsy.proto import p4r, p4r_grpc

from switch.server.device import Device
from switch.server.listening import Tls
from switch.server.server import Server
from tests.switch.certificates import make_certificates
from tests.switch.client import DEADLINE, DEVICE_ID
from tests.switch.in_process import InProcess

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is absent")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, what it signed, and another authority with a client of its own."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def pem(folder: Path, file: str) -> bytes:
    return (folder / file).read_bytes()


@pytest.fixture
def address(folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a server; whether clients must have a certificate is the fixture's parameter."""
    device = Device(DEVICE_ID, InProcess())
    tls = Tls(
        pem(folder, "switch.pem"),
        pem(folder, "switch.key"),
        pem(folder, "authority.pem"),
        with_client_auth=request.param,
    )
    server = Server(device, "127.0.0.1:0", tls)
    server.start()
    yield server.address
    server.stop()
    device.close()


def capabilities(channel: grpc.Channel) -> str:
    """The switch's answer, or why there was none."""
    with channel:
        try:
            answer = p4r_grpc.P4RuntimeStub(channel).Capabilities(p4r.CapabilitiesRequest(), timeout=DEADLINE)
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            return error.code().name
    return answer.p4runtime_api_version


def channel(address: str, folder: Path, authority: str, client: str | None) -> grpc.Channel:
    own = (pem(folder, f"{client}.key"), pem(folder, f"{client}.pem")) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(pem(folder, f"{authority}.pem"), *own)
    return grpc.secure_channel(address, credentials)


def by_clients(open_to_all: bool) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("address", [not open_to_all], indirect=True)


@by_clients(open_to_all=True)
def test_everybody_is_served(address: str, folder: Path) -> None:
    assert capabilities(channel(address, folder, "authority", None)) == "1.5.0"


@by_clients(open_to_all=True)
def test_not_without_tls(address: str) -> None:
    assert capabilities(grpc.insecure_channel(address)) == "UNAVAILABLE"


@by_clients(open_to_all=True)
def test_a_client_finds_out_that_it_is_another_switch(address: str, folder: Path) -> None:
    assert capabilities(channel(address, folder, "stranger", None)) == "UNAVAILABLE"


@by_clients(open_to_all=False)
@pytest.mark.parametrize(
    ("client", "answer"), [("controller", "1.5.0"), (None, "UNAVAILABLE"), ("intruder", "UNAVAILABLE")]
)
def test_only_clients_of_the_authority_are_served(
    address: str, folder: Path, client: str | None, answer: str
) -> None:
    assert capabilities(channel(address, folder, "authority", client)) == answer
