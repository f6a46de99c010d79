"""Sends datagrams of several flows to an echo service; prints who answered each flow, as JSON."""

import json
import socket
import sys

DATAGRAMS = 3
SECONDS = 5.0


def flow(address: str, port: int) -> list[str]:
    """The names that answered the datagrams of one flow; an answer must come from where it was asked."""
    names = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(SECONDS)
        client.connect((address, port))  # the kernel now refuses answers from anybody else
        for number in range(DATAGRAMS):
            client.send(b"%d" % number)
            name, echoed = client.recv(2048).split()
            if echoed != b"%d" % number:
                raise ValueError(f"sent {number}, came back {echoed!r}")
            names.append(name.decode())
    return names


def main() -> None:
    address, port, flows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    print(json.dumps([flow(address, port) for _ in range(flows)]))


if __name__ == "__main__":
    main()
