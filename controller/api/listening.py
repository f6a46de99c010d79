"""Where the API is reached: a unix socket, and, if asked for, a TCP port with TLS and tokens."""

import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.api.access import Access
from controller.api.tokens import Tokens
from controller.claims import give_to_group, group_id, words
from controller.errors import StartError
from controller.values import format_service

NOT_FOR_OTHERS = 0o177
"""A umask."""

FOR_THE_GROUP = 0o660


@dataclass(frozen=True, slots=True)
class TcpOptions:
    """What the command line says about TCP: HOST:PORT and files, of which `tokens` alone is no PEM."""

    listen: str
    certificate: Path | None
    key: Path | None
    tokens: Path | None


class Tcp:
    """A TCP port with TLS, and those who may use it. `reload` reads certificate, key and tokens again."""

    def __init__(self, options: TcpOptions) -> None:
        """Raises StartError when something is missing or cannot be used, InvalidConfig for the tokens."""
        needed = {"--certificate": options.certificate, "--key": options.key, "--tokens": options.tokens}
        missing = [option for option, file in needed.items() if file is None]
        if missing:
            raise StartError(
                f"--listen {options.listen} needs {_all_of(missing)} as well: "
                f"by TCP the API is served with TLS and to those who have a token, or not at all"
            )
        assert options.certificate and options.key and options.tokens
        self.host, self.port = _host_and_port(options.listen)
        self._certificate, self._key, self._tokens = options.certificate, options.key, options.tokens
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self.access = Access(Tokens.load(self._tokens))
        self._load_certificate(self.tls)

    def reload(self) -> None:
        """For connections from now on. Raises as the constructor; then all is as it was."""
        tokens = Tokens.load(self._tokens)
        self._load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # a trial
        self._load_certificate(self.tls)
        self.access.tokens = tokens

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        for option, file in (("--certificate", self._certificate), ("--key", self._key)):
            if not os.access(file, os.R_OK):
                raise StartError(f"{option} {file} cannot be read")
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None)
            raise StartError(
                f"{self._certificate} and {self._key} are no certificate and the key to it, in PEM and "
                f"without a password{f' ({reason})' if reason else ''}"
            ) from None

    @contextlib.contextmanager
    def listening(self) -> Iterator[socket.socket]:
        try:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            sock = socket.create_server(
                (self.host, self.port), family=family, dualstack_ipv6=self.host == "::"
            )
        except OSError as error:
            place = format_service(self.host, self.port)
            raise StartError(f"cannot listen at --listen {place}: {words(error)}") from None
        with sock:
            yield sock


def _no_password() -> str:
    raise ValueError("the key has a password")


def _all_of(words: list[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise StartError(f"--listen {text} must be an address and a port, such as 10.0.0.1:9443 or [::]:9443")
    return host, int(port)


@contextlib.contextmanager
def unix_socket(path: Path, group: str | None) -> Iterator[socket.socket]:
    """A unix socket that only this user may use, and `group` if there is one.

    One that a daemon left behind is removed: we hold the lock, so nobody listens there. Raises StartError.
    """
    if path.is_socket():
        path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        before = os.umask(NOT_FOR_OTHERS)
        try:
            sock.bind(str(path))
        except OSError as error:
            hint = "it is no socket, remove it or " if error.errno == errno.EADDRINUSE else ""
            raise StartError(
                f"cannot listen at {path}: {words(error)}; {hint}name another with --socket"
            ) from None
        finally:
            os.umask(before)
        try:
            if group is not None:
                _give_to(path, group)
            yield sock
        finally:
            path.unlink(missing_ok=True)


def _give_to(path: Path, group: str) -> None:
    try:
        give_to_group(path, group_id(group), FOR_THE_GROUP)
    except OSError as error:
        raise StartError(
            f"cannot give {path} to group {group}: {words(error)}; run as root, or as a user of that group"
        ) from None


def name_of(listener: socket.socket) -> str:
    """`https://10.0.0.1:9443`"""
    host, port, *_ = listener.getsockname()
    return f"https://{format_service(host, port)}"
