"""Checks by HTTPS: whom they trust, and by what name they ask."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import pytest

from controller.health.asker import Asker
from controller.health.checks import CheckFailed, CheckNotMade, Target
from controller.health.settings import HttpsCheck
from controller.health.web import server_name
from tests.integration.checking import PATIENT, watch
from tests.switch.certificates import make_certificate

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
REFUSED = "TLS: the certificate is not accepted"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificate(folder, "authority")
    make_certificate(folder, "server", signer="authority")
    make_certificate(folder, "stranger")
    return folder


@asynccontextmanager
async def https_server(folder: Path, names: list[str | None], answer: bytes = ANSWER) -> AsyncIterator[int]:
    """Notes the server name (SNI) of each client in `names`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.sni_callback = lambda sock, name, _: names.append(name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


# what is said, and the name that the server is told
HTTPS = [
    ({"verify": False}, "status 200", None),
    ({"ca": "authority"}, "status 200", None),
    ({"ca": "authority", "sni": "localhost"}, "status 200", "localhost"),
    ({"ca": "authority", "host": "localhost:8443"}, "status 200", "localhost"),
    ({"verify": False, "sni": "shop.example"}, "status 200", "shop.example"),
    (
        {"ca": "authority", "sni": "shop.example"},
        f"{REFUSED}: Hostname mismatch, certificate is not valid for 'shop.example'.",
        "shop.example",
    ),
    (
        {"ca": "stranger"},
        f"{REFUSED}: unable to get local issuer certificate",
        None,
    ),
    ({}, f"{REFUSED}: unable to get local issuer certificate", None),
]


@pytest.mark.parametrize(("settings", "said", "name"), HTTPS)
async def test_https(
    asker: Asker, certificates: Path, settings: dict[str, object], said: str, name: str | None
) -> None:
    given = {**settings, "ca": str(certificates / f"{settings['ca']}.pem")} if "ca" in settings else settings
    check = HttpsCheck.model_validate({"type": "https", "timeout": PATIENT} | given)
    names: list[str | None] = []
    async with https_server(certificates, names) as port:
        try:
            assert await asker.ask(watch(check, port)) == said
        except CheckFailed as failure:
            assert str(failure) == said
    assert names == [name]


async def test_https_from_a_server_that_closes_without_a_farewell(asker: Asker, certificates: Path) -> None:
    check = HttpsCheck(type="https", verify=False, timeout=PATIENT, body="whole")
    async with https_server(certificates, [], b"HTTP/1.0 200 OK\r\n\r\nwhole") as port:
        assert await asker.ask(watch(check, port)) == "status 200"


async def test_https_to_what_speaks_no_tls(asker: Asker) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example\r\n")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(CheckFailed, match=r"^TLS: wrong version number|^connection reset"):
            await asker.ask(watch(HttpsCheck(type="https", timeout=PATIENT), port))


async def test_https_with_authorities_that_cannot_be_read_says_nothing_about_the_backend(
    asker: Asker, certificates: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.pem").write_text("nothing")
    async with https_server(certificates, []) as port:
        for file, reason in (("nowhere.pem", "no such file"), ("broken.pem", "no certificate or crl found")):
            check = HttpsCheck(type="https", ca=str(tmp_path / file), timeout=PATIENT)
            with pytest.raises(CheckNotMade, match=f"cannot read {tmp_path / file}: {reason}"):
                await asker.ask(watch(check, port))


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "127.0.0.1"),
        ({"host": "shop.example"}, "shop.example"),
        ({"host": "[fd00::1]:8443"}, "fd00::1"),
        ({"host": "shop.example:8443", "sni": "www.example"}, "www.example"),
    ],
)
def test_whom_the_certificate_is_to_be_for(settings: dict[str, str], name: str) -> None:
    check = HttpsCheck.model_validate({"type": "https", **settings})
    assert server_name(Target(ip_address("127.0.0.1"), 443), check) == name
