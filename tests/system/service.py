"""What the servers of `modes.yaml` run: it proves that bytes came whole, over TCP and UDP, IPv4 and IPv6.

TCP, as often as one likes on a connection: "UP DOWN\\n" and UP bytes are answered with "NAME SHA256\\n", the
digest of what came, and DOWN bytes of `pattern`. UDP, on all ports given: a datagram is answered with NAME, a
space, and itself, from the address that it was sent to.
"""

import hashlib
import random
import socket
import socketserver
import sys
import threading

IPV6_RECVPKTINFO, IPV6_PKTINFO = 49, 50  # linux/in6.h


def pattern(size: int) -> bytes:
    """Bytes that both ends know."""
    return random.Random(size).randbytes(size)


class Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            up, down = map(int, line.split())
            digest = hashlib.sha256(self.rfile.read(up)).hexdigest()
            self.wfile.write(f"{sys.argv[1]} {digest}\n".encode() + pattern(down))


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is nobody's error here; its own test says what it lost."""


def echo(port: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        udp.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        udp.bind(("::", port))
        while True:
            data, control, _, client = udp.recvmsg(65535, 256)
            own = next(content for _, kind, content in control if kind == IPV6_PKTINFO)[:16]
            answer = sys.argv[1].encode() + b" " + data
            udp.sendmsg([answer], [(socket.IPPROTO_IPV6, IPV6_PKTINFO, own + bytes(4))], 0, client)


def main() -> None:
    ports = [int(port) for port in sys.argv[2:]]
    for port in ports:
        threading.Thread(target=echo, args=(port,), daemon=True).start()
    with Server(("::", ports[0]), Connection) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
