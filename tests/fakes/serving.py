"""An API at a socket, served by a thread of the test's own process."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

PATIENCE = 20.0
"""Seconds; a server that needs longer to start or to end has hung."""


@contextmanager
def serving(app: FastAPI, path: Path) -> Iterator[None]:
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()  # from here on connections wait for the server
        with serving_at(listener, server):
            yield
        path.unlink()


@contextmanager
def serving_at(listener: socket.socket, server: uvicorn.Server) -> Iterator[None]:
    """Any server of uvicorn's kind, such as the daemon's, at a socket that is bound."""
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive()
