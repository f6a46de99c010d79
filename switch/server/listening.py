"""gRPC servers: how they treat clients, where they listen, and with which certificates."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc

# A program with its P4Info has well below a megabyte, a million updates some 60. (The reference switch takes
# 256 MB; gRPC alone 4 MB.)
MAX_REQUEST_BYTES = 64 << 20

# Requests that may be under way or wait for a thread; beyond that they are refused (RESOURCE_EXHAUSTED). A
# message is read when a thread takes its request, so that requests that wait take little memory.
REQUESTS = 1000

# A controller whose host died without a word is noticed, and its mastership ended, after the sum of the two.
KEEPALIVE_MS = 10_000
KEEPALIVE_TIMEOUT_MS = 5_000


class AddressError(Exception):
    """The server cannot listen where it was told to."""


@dataclass(frozen=True)
class Tls:
    """PEM texts.

    client_authority: what signed the clients' certificates. with_client_auth: whether they must have one.
    """

    certificate: bytes
    key: bytes
    client_authority: bytes | None = None
    with_client_auth: bool = False

    def credentials(self) -> grpc.ServerCredentials:
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)], self.client_authority, self.with_client_auth
        )


def grpc_server(threads: int) -> grpc.Server:
    return grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
        options=[
            # Without this, two switches would share a port and steal each other's connections.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
            ("grpc.max_send_message_length", -1),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
            ("grpc.keepalive_permit_without_calls", 1),
        ],
        maximum_concurrent_rpcs=REQUESTS,
    )


def listen(server: grpc.Server, address: str, flag: str, tls: Tls | None = None) -> str:
    """Returns the address, with the port that was found if it was 0.

    address: HOST:PORT, of which port 0 takes a free one; or unix:PATH. flag: what to change it with.
    Raises AddressError.
    """
    host, colon, port = address.rpartition(":")
    local = host == "unix" and port
    if not local and not (colon and host and port.isdecimal() and int(port) < 1 << 16):
        raise AddressError(f"{address!r} is neither HOST:PORT (for example 127.0.0.1:9559) nor unix:PATH")
    try:
        if tls is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, tls.credentials())
    except RuntimeError:
        bound = 0
    if bound == 0:
        raise AddressError(
            f"cannot listen on {address}: is another switch running there? "
            f"Choose another with -- {flag} HOST:PORT (port 0: any free one)"
        )
    return address if local else f"{host}:{bound}"
