"""The gRPC server around the services, and the threads that bring the primary what the program tells."""

import threading
import time
from collections.abc import Callable

from finsy.proto import gnmi_grpc, p4r

from switch.server.arbitration import MAX_CLIENTS
from switch.server.device import Device
from switch.server.gnmi import InterfaceService
from switch.server.inspection import Inspection
from switch.server.listening import Tls, grpc_server, listen
from switch.server.native_reads import ENTITIES_PER_RESPONSE
from switch.server.pipeline import Pipeline
from switch.server.service import MAX_STREAMS, P4RuntimeService, add_service
from switch.server.status import RequestError

# Streams and subscriptions keep a thread each; the others are for requests.
MAX_WATCHERS = MAX_CLIENTS
THREADS = MAX_STREAMS + MAX_WATCHERS + 32

DIGEST_INTERVAL = 0.01  # seconds between looks for digests while a controller wants any
IDLE_INTERVAL = 0.1  # while it doesn't
WATCHDOG_INTERVAL = 1.0

STOP_GRACE = 1.0  # seconds for requests that are being served when the server stops


class Server:
    """Listens from the start; serves from `start` to `stop`.

    address: as `listen` has it. tls: None to serve everybody, unencrypted.
    """

    def __init__(self, device: Device, address: str, tls: Tls | None = None) -> None:
        self._device = device
        self._service = P4RuntimeService(device)
        self._interfaces = InterfaceService(device.data_plane, MAX_WATCHERS)
        self._inspection = Inspection(device)
        self._grpc = grpc_server(THREADS)
        self._write = add_service(self._service, self._grpc)
        gnmi_grpc.add_gNMIServicer_to_server(self._interfaces, self._grpc)
        self._grpc.add_generic_rpc_handlers((self._inspection.handler(),))
        self.address = listen(self._grpc, address, "--grpc-server-addr", tls)
        self._stopping = threading.Event()
        self._pumps = [
            threading.Thread(target=self._guarded, args=(pump,), name=pump.__name__)
            for pump in (self._bring_packets, self._bring_digests, self._bring_idle_entries, self._let_go)
        ]
        self.failure: Exception | None = None
        """What ended one of the threads, which nothing should."""

    def start(self) -> None:
        self._grpc.start()
        if self._write is not None:
            self._write.start()
        for pump in self._pumps:
            pump.start()

    def stop(self) -> None:
        """Ends all streams and waits for the threads. The device is not closed."""
        self._stopping.set()
        stopped = self._grpc.stop(STOP_GRACE)  # from here on no stream begins
        self._service.end_streams()
        self._interfaces.end()
        self._inspection.end()
        stopped.wait()
        if self._write is not None:
            self._write.stop()
        for pump in self._pumps:
            pump.join()

    def _guarded(self, pump: Callable[[], None]) -> None:
        try:
            pump()
        except Exception as error:
            self.failure = error

    def _let_go(self) -> None:
        """Of clients that keep others waiting."""
        while not self._stopping.wait(WATCHDOG_INTERVAL):
            self._service.watchdog.look()

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
                primary.offer_message(p4r.StreamMessageResponse(packet=message))

    def _bring_idle_entries(self) -> None:
        while not self._stopping.wait(IDLE_INTERVAL):
            try:
                with self._device.running_pipeline() as pipeline:
                    expired = pipeline.expired()
            except RequestError:
                continue  # no pipeline yet
            primary = self._service.arbiter.primary
            if primary is None:
                continue
            for first in range(0, len(expired), ENTITIES_PER_RESPONSE):
                notification = p4r.IdleTimeoutNotification(
                    table_entry=expired[first : first + ENTITIES_PER_RESPONSE], timestamp=time.time_ns()
                )
                primary.offer_message(p4r.StreamMessageResponse(idle_timeout_notification=notification))

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
            primary.offer_message(p4r.StreamMessageResponse(digest=digest_list))
