"""A client of `service.py`, to be run on a host. Prints JSON; bytes that did not come as sent are an error.

visit ADDRESS                several of the following to one service, one after the other
transfer ADDRESS UP DOWN     the name that answered, and the path's MTU as the kernel knows it in the end
datagram ADDRESS PORT SIZE   the name that echoed it, or the error's name
connect ADDRESS              the error's name, or "connected"
probe ADDRESS PORT LIMIT     a datagram with this TTL: address, type and code of the ICMP error
pace ADDRESS PORT COUNT      how many of COUNT small datagrams, sent at once, were echoed
hold ADDRESS COUNT           opens COUNT connections; for each line of input asks on those whose server it
                             does not name, and prints who answered each
"""

import errno
import hashlib
import json
import select
import socket
import struct
import sys
from collections.abc import Iterator

from service import pattern

PORT = 9000
SECONDS = 15.0
QUIET_SECONDS = 1.0
IP_MTU, IPV6_MTU = 14, 24  # linux/in.h, linux/in6.h
IP_RECVERR, IPV6_RECVERR = 11, 25
MSG_ERRQUEUE = 0x2000
EXTENDED_ERROR = struct.Struct("=IBBBxII")  # struct sock_extended_err; the offender's address follows


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def ask(connection: socket.socket, up: int = 0, down: int = 0) -> str:
    """Who answered, after bytes went both ways whole."""
    sent = pattern(up)
    connection.sendall(f"{up} {down}\n".encode() + sent)
    with connection.makefile("rb") as answer:
        name, digest = answer.readline().decode().split()
        received = answer.read(down)
    if digest != hashlib.sha256(sent).hexdigest() or received != pattern(down):
        raise ValueError("what arrived is not what was sent")
    return name


def transfer(address: str, up: int, down: int) -> dict[str, object]:
    with socket.create_connection((address, PORT), SECONDS) as connection:
        name = ask(connection, up, down)
        level, option = (socket.IPPROTO_IPV6, IPV6_MTU) if ":" in address else (socket.IPPROTO_IP, IP_MTU)
        return {"name": name, "mtu": connection.getsockopt(level, option)}


def datagram(address: str, port: int, size: int) -> str:
    with socket.socket(family(address), socket.SOCK_DGRAM) as udp:
        udp.settimeout(SECONDS)
        udp.connect((address, port))
        sent = pattern(size)
        try:
            udp.send(sent)
            name, _, echoed = udp.recv(65535).partition(b" ")
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, type(error).__name__)
        if echoed != sent:
            raise ValueError("what came back is not what was sent")
        return name.decode()


def connect(address: str) -> str:
    try:
        socket.create_connection((address, PORT), SECONDS).close()
    except OSError as error:
        return type(error).__name__
    return "connected"


def probe(address: str, port: int, limit: int) -> tuple[str, int, int]:
    """What traceroute does."""
    v6 = ":" in address
    level = socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP
    option = IPV6_RECVERR if v6 else IP_RECVERR
    with socket.socket(family(address), socket.SOCK_DGRAM) as udp:
        udp.setsockopt(level, option, 1)
        udp.setsockopt(level, socket.IPV6_UNICAST_HOPS if v6 else socket.IP_TTL, limit)
        udp.connect((address, port))
        udp.send(b"who forwards this?")
        errors = select.poll()
        errors.register(udp, 0)  # the error queue is always polled for
        if not errors.poll(SECONDS * 1000):
            raise TimeoutError("no ICMP error came")
        _, control, _, _ = udp.recvmsg(100, 512, MSG_ERRQUEUE)
    (content,) = [data for of, name, data in control if (of, name) == (level, option)]
    _, _, kind, code, _, _ = EXTENDED_ERROR.unpack_from(content)
    offender = content[EXTENDED_ERROR.size :]
    if v6:
        return socket.inet_ntop(socket.AF_INET6, offender[8:24]), kind, code
    return socket.inet_ntop(socket.AF_INET, offender[4:8]), kind, code


def pace(address: str, port: int, count: int) -> int:
    with socket.socket(family(address), socket.SOCK_DGRAM) as udp:
        udp.settimeout(QUIET_SECONDS)
        udp.connect((address, port))
        for _ in range(count):
            udp.send(b"one")
        echoed = 0
        while True:
            try:
                udp.recv(100)
            except TimeoutError:
                return echoed
            echoed += 1


def visit(address: str) -> dict[str, object]:
    """The large datagram comes after the transfer, which has told the kernel how little fits: its own IPv4
    fragments may be fragmented further (no DF), so nobody would tell it about them."""
    return {
        "transfer": transfer(address, 300_000, 3_000_000),
        "small": datagram(address, PORT, 100),
        "large": datagram(address, PORT, 4000),
        "router": probe(address, PORT, 1),
    }


def hold(address: str, count: int) -> Iterator[list[str]]:
    # A port of their own each: connect() would take successive ones, which a linear hash does not scatter.
    connections = [
        socket.create_connection((address, PORT), SECONDS, source_address=("", 0)) for _ in range(count)
    ]
    names = [ask(connection, 1000, 1000) for connection in connections]
    yield names
    for line in sys.stdin:
        dead = line.split()
        yield [
            "dead" if name in dead else ask(connection, 1000, 1000)
            for name, connection in zip(names, connections, strict=True)
        ]


def main() -> None:
    what, address, *numbers = sys.argv[1:]
    arguments = [int(number) for number in numbers]
    if what == "hold":
        for names in hold(address, *arguments):
            print(json.dumps(names), flush=True)
        return
    commands = {function.__name__: function for function in (visit, transfer, datagram, connect, probe, pace)}
    print(json.dumps(commands[what](address, *arguments)))


if __name__ == "__main__":
    main()
