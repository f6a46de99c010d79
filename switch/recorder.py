"""--pcap: the packets of the switch's interfaces in files, as INTERFACE_in.pcap and INTERFACE_out.pcap.

Looks on beside the switch, through a socket of its own for each interface, so that the packet thread has
nothing to do with it. A disk or machine that is too slow loses packets from the files only, which is logged.
"""

import logging
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

LOG = logging.getLogger(__name__)

ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA, PACKET_STATISTICS = 263, 8, 6
SO_RCVBUFFORCE = 33
TP_STATUS_VLAN_VALID = 1 << 4
VLAN = 0x8100
BUFFER_BYTES = 16 << 20
SNAP_LENGTH = 256 << 10

# The classic format (libpcap's pcap-savefile): magic number for microseconds, version 2.4, UTC, link type.
LINKTYPE_ETHERNET = 1
FILE_HEADER = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAP_LENGTH, LINKTYPE_ETHERNET)


class PcapFile:
    """Packets with the time at which they were seen. Each is in the file at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._file.write(FILE_HEADER)

    def write(self, packet: bytes) -> None:
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        header = struct.pack("=IIII", seconds, nanoseconds // 1000, len(packet), len(packet))
        self._file.write(header + packet)

    def close(self) -> None:
        self._file.close()


class _Tap:
    """One interface and its two files."""

    def __init__(self, folder: Path, interface: str) -> None:
        self.interface = interface
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self.socket.bind((interface, ETH_P_ALL))
        self.socket.setblocking(False)
        self._in = PcapFile(folder / f"{interface}_in.pcap")
        self._out = PcapFile(folder / f"{interface}_out.pcap")

    def take(self) -> None:
        """Writes a packet that is there."""
        try:
            packet, auxiliary, _, (_, _, kind, *_) = self.socket.recvmsg(SNAP_LENGTH, 256)
        except (BlockingIOError, OSError):
            return  # the interface went away, or the packet did
        outgoing = kind == socket.PACKET_OUTGOING
        (self._out if outgoing else self._in).write(_with_tag(packet, auxiliary))

    def close(self) -> None:
        _, dropped = struct.unpack("=II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        if dropped:
            LOG.warning("%s: %d packets are not in the files: they came too fast", self.interface, dropped)
        self.socket.close()
        self._in.close()
        self._out.close()


def _with_tag(packet: bytes, auxiliary: Iterable[tuple[int, int, bytes]]) -> bytes:
    """The kernel keeps the outer VLAN tag beside the packet (struct tpacket_auxdata)."""
    for level, kind, data in auxiliary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tag, tag_kind = struct.unpack("=IIIHHHH", data[:20])
            if status & TP_STATUS_VLAN_VALID:
                return packet[:12] + struct.pack("!HH", tag_kind or VLAN, tag) + packet[12:]
    return packet


class Recorder:
    """Records from the beginning until it is closed. Raises OSError."""

    def __init__(self, folder: Path, interfaces: Iterable[str]) -> None:
        self._taps = [_Tap(folder, interface) for interface in interfaces]
        self._selector = selectors.DefaultSelector()
        for tap in self._taps:
            self._selector.register(tap.socket, selectors.EVENT_READ, tap)
        self._wake = os.eventfd(0)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._record, name="pcap", daemon=True)
        self._thread.start()

    def _record(self) -> None:
        while True:
            ready = [key.data for key, _ in self._selector.select()]
            for tap in ready:
                if tap is not None:
                    tap.take()
            if ready == [None]:
                return  # what was there is written

    def close(self) -> None:
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._selector.close()
        os.close(self._wake)
        for tap in self._taps:
            tap.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
