"""The gRPC server around the service, and the two threads that bring packets and digests to the primary."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
from finsy.proto import p4r, p4r_grpc

from switch.server.arbitration import MAX_CLIENTS
from switch.server.device import Device
from switch.server.pipeline import Pipeline
from switch.server.service import P4RuntimeService
from switch.server.status import RequestError

# A client's stream keeps a thread; the others are for requests.
THREADS = 2 * MAX_CLIENTS

MAX_REQUEST_BYTES = (
    256 * 1024 * 1024
)  # as the reference server; gRPC's default of 4 MB is 50 thousand updates

# A controller whose host died without a word is noticed, and its mastership ended, after the sum of the two.
KEEPALIVE_MS = 10_000
KEEPALIVE_TIMEOUT_MS = 5_000

DIGEST_INTERVAL = 0.01  # seconds between looks for digests while a controller wants any
IDLE_INTERVAL = 0.1  # while it doesn't

STOP_GRACE = 1.0  # seconds for requests that are being served when the server stops


class AddressError(Exception):
    """The server cannot listen where it was told to."""


class Server:
    """Listens from the start; serves from `start` to `stop`.

    address: HOST:PORT, of which port 0 takes a free one; or unix:PATH.
    """

    def __init__(self, device: Device, address: str) -> None:
        self._device = device
        self._service = P4RuntimeService(device)
        self._grpc = grpc.server(
            ThreadPoolExecutor(THREADS, thread_name_prefix="p4runtime"),
            options=[
                # Without this, two switches would share a port and steal each other's connections.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
                ("grpc.max_send_message_length", -1),
                ("grpc.keepalive_time_ms", KEEPALIVE_MS),
                ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )
        p4r_grpc.add_P4RuntimeServicer_to_server(self._service, self._grpc)
        self.address = self._listen(address)
        self._stopping = threading.Event()
        self._pumps = [
            threading.Thread(target=self._guarded, args=(pump,), name=pump.__name__)
            for pump in (self._bring_packets, self._bring_digests)
        ]
        self.failure: Exception | None = None
        """What ended one of the threads, which nothing should."""

    def _listen(self, address: str) -> str:
        host, colon, port = address.rpartition(":")
        local = host == "unix" and port
        if not local and not (colon and host and port.isdecimal() and int(port) < 1 << 16):
            raise AddressError(f"{address!r} is neither HOST:PORT (for example 127.0.0.1:9559) nor unix:PATH")
        try:
            bound = self._grpc.add_insecure_port(address)
        except RuntimeError:
            bound = 0
        if bound == 0:
            raise AddressError(
                f"cannot listen on {address}: is another switch running there? "
                "Choose another with -- --grpc-server-addr HOST:PORT (port 0: any free one)"
            )
        return address if local else f"{host}:{bound}"

    def start(self) -> None:
        self._grpc.start()
        for pump in self._pumps:
            pump.start()

    def stop(self) -> None:
        """Ends all streams and waits for the threads. The device is not closed."""
        self._stopping.set()
        stopped = self._grpc.stop(STOP_GRACE)  # from here on no stream begins
        self._service.end_streams()
        stopped.wait()
        for pump in self._pumps:
            pump.join()

    def _guarded(self, pump: Callable[[], None]) -> None:
        try:
            pump()
        except Exception as error:
            self.failure = error

    def _bring_packets(self) -> None:
        while not self._stopping.is_set():
            packet = self._device.data_plane.packet_in(timeout=IDLE_INTERVAL)
            primary = self._service.arbiter.primary
            if packet is None or primary is None:
                continue
            try:
                with self._device.running_pipeline() as pipeline:
                    message = pipeline.packet_in.unpack(packet)
            except RequestError:
                continue  # no P4Info, so that nobody could make sense of it
            if message is not None:
                primary.offer(p4r.StreamMessageResponse(packet=message))

    def _bring_digests(self) -> None:
        interval = IDLE_INTERVAL
        while not self._stopping.wait(interval):
            interval = IDLE_INTERVAL
            try:
                with self._device.running_pipeline() as pipeline:
                    if not pipeline.schema.digests:
                        continue
                    if pipeline.digests.wanted:
                        interval = DIGEST_INTERVAL
                    self._send_digests(pipeline)
            except RequestError:
                continue  # no pipeline yet

    def _send_digests(self, pipeline: Pipeline) -> None:
        digests = pipeline.engine.digests()
        primary = self._service.arbiter.primary
        if primary is None:
            return
        now = time.monotonic_ns()
        pipeline.digests.learn(digests, now)
        for digest_list in pipeline.digests.due(now):
            digest_list.timestamp = time.time_ns()
            primary.offer(p4r.StreamMessageResponse(digest=digest_list))
