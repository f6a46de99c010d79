"""A UDP server that answers every datagram with its name and what came."""

import socket
import sys


def main() -> None:
    name, port = sys.argv[1], int(sys.argv[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", port))
        print("ready", flush=True)
        while True:
            data, client = server.recvfrom(2048)
            server.sendto(name.encode() + b" " + data, client)


if __name__ == "__main__":
    main()
