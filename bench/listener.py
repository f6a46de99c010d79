"""A server that can be killed: takes connections to some TCP ports and closes them at once."""

import argparse
import selectors
import socket

from topo.lab import READY

BACKLOG = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int, nargs="+")
    with selectors.DefaultSelector() as selector:
        for port in parser.parse_args().port:
            listening = socket.create_server(("", port), backlog=BACKLOG)
            selector.register(listening, selectors.EVENT_READ, listening)
        print(READY, flush=True)
        while True:
            for key, _ in selector.select():
                connection, _ = key.data.accept()
                connection.close()


if __name__ == "__main__":
    main()
