"""A client of a proxy on this host: connections at a fixed rate, one by one, each until it is closed.

One that is refused or reset is as good as any other: the proxy has chosen a server for it.
"""

import argparse
import socket
import time

from topo.lab import READY

PATIENCE = 5.0


def connect(port: int) -> None:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            connection.recv(1)
    except OSError:
        return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="connections a second, at the most")
    arguments = parser.parse_args()
    print(READY, flush=True)
    due = time.monotonic()
    while True:
        connect(arguments.port)
        due += 1 / arguments.rate
        if (early := due - time.monotonic()) > 0:
            time.sleep(early)
        else:
            due = time.monotonic()  # what came too late is not made up for


if __name__ == "__main__":
    main()
