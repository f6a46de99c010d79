"""The web server of a backend, one process each, so that killing a server is killing a process.

`/` answers who answered and whom it saw as the client (JSON, connections kept alive), `/healthz` answers 200.
"""

import argparse
import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from topo.lab import READY

KEEP_ALIVE_SECONDS = 30
BACKLOG = 1024

Message = dict[str, Any]


class WhoAmI:
    """An ASGI application that knows its own name."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        del receive
        if scope["type"] != "http":
            return
        status, body = self._answer(scope)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: Message) -> tuple[int, bytes]:
        if scope["path"] == "/healthz":
            return 200, b'{"status": "ok"}'
        if scope["path"] == "/":
            host, port = scope["client"][:2]
            return 200, json.dumps({"backend": self.name, "client": host, "client_port": port}).encode()
        return 404, b'{"error": "there are / and /healthz"}'


def listen(port: int) -> socket.socket:
    """A listening socket for IPv6 and IPv4, or for IPv4 alone where the kernel has no IPv6."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
        )
    return socket.create_server(("0.0.0.0", port), backlog=BACKLOG)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()

    listening = listen(arguments.port)
    print(READY, flush=True)
    config = uvicorn.Config(
        WhoAmI(arguments.name),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    main()
