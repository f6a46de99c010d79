"""The API by TCP, with TLS and a token, served by a thread of the test's own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.api.app import create_app
from controller.api.client import Remote
from controller.api.listening import Tcp, TcpOptions, name_of
from controller.api.serving import Server
from controller.api.tokens import Role, digest, new_token
from controller.controller import Controller
from tests.fakes.serving import serving_at
from tests.switch.certificates import make_certificate


def tcp_options(folder: Path, role: Role = Role.WRITE) -> TcpOptions:
    """What a daemon needs for a port of its own, in the folder.

    The token is in its file `token`, and who signed the certificate in `authority.pem`.
    """
    make_certificate(folder, "authority")
    certificate, key = make_certificate(folder, "api", "authority")
    token, tokens = new_token(), folder / "tokens"
    for file, text in ((folder / "token", token), (tokens, f"alice {role} {digest(token)}")):
        file.touch(0o600)
        file.write_text(f"{text}\n")
    return TcpOptions("127.0.0.1:0", certificate, key, tokens)


@contextmanager
def serving_by_tcp(controller: Controller, folder: Path) -> Iterator[Remote]:
    """Needs openssl."""
    tcp = Tcp(tcp_options(folder))
    server = Server(create_app(controller, tcp.access), tcp.tls)
    with tcp.listening() as listener, serving_at(listener, server):
        yield Remote(name_of(listener), folder / "token", folder / "authority.pem")
