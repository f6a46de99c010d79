"""The one device that the service controls: its data plane and the pipelines in it.

A saved pipeline (VERIFY_AND_SAVE) is complete, with an engine of its own: reads and writes go to it at once,
and COMMIT puts that engine into the data plane. The specification's "replaying the writes" comes to the same.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Protocol

from finsy.proto import p4r

from switch.engine import Engine
from switch.live_trace import LiveTrace
from switch.ports import Port, Ports
from switch.server.pipeline import LoadEngine, Pipeline
from switch.server.reconcile import carry_counts, carry_written
from switch.server.status import exhausted, failed_precondition, not_found
from switch.trace_filter import TraceFilter
from switch.worker import Counts

# The reference server's text, which clients look for.
NO_PIPELINE = "No forwarding pipeline config set for this device"


class DataPlane(Protocol):
    """What takes packets through an engine (switch.worker.Worker)."""

    @property
    def cpu_port(self) -> int | None: ...

    @property
    def ports(self) -> Ports: ...

    def run(self, program: Engine | LiveTrace | None) -> None:
        """Use this engine from now on. On return the one before is no longer in use."""
        ...

    def held(self) -> AbstractContextManager[None]:
        """No packet is processed for the duration; they wait. `run` may be called meanwhile."""
        ...

    def packet_out(self, packet: bytes) -> bool:
        """Give the program a packet from the CPU port; False if there is no room for it."""
        ...

    def packet_in(self, timeout: float) -> bytes | None:
        """The next packet that the program sent to the CPU port, waiting `timeout` seconds for one."""
        ...

    def counts(self) -> Counts: ...


def _same_program(one: p4r.ForwardingPipelineConfig, other: p4r.ForwardingPipelineConfig) -> bool:
    return one.p4_device_config == other.p4_device_config and one.p4info == other.p4info


class Device:
    """lock: held by whatever reads or changes the state of a pipeline, so that requests are serialised."""

    # Packets and digests need a pipeline too, but must not wait for a long write: which pipeline is which is
    # under a lock of its own, which is never held for long.

    def __init__(self, device_id: int, data_plane: DataPlane, load_engine: LoadEngine = Engine.load) -> None:
        self.id = device_id
        self.data_plane = data_plane
        self.lock = threading.RLock()
        self._pipelines = threading.Lock()
        self._running: Pipeline | None = None
        self._saved: Pipeline | None = None
        self._program: Engine | None = None  # runs without a P4Info
        self._traced: LiveTrace | None = None
        self._load_engine = load_engine
        self._stop_listening = data_plane.ports.listen(self._port_changed)

    @property
    def config(self) -> p4r.ForwardingPipelineConfig | None:
        """The config that reads and writes refer to."""
        with self._pipelines:
            pipeline = self._saved or self._running
            return pipeline.config if pipeline else None

    @contextmanager
    def pipeline(self) -> Iterator[Pipeline]:
        """The pipeline that reads and writes go to. Raises RequestError when there is none."""
        with ExitStack() as leases:
            with self._pipelines:
                pipeline = self.locked_pipeline()
                leases.enter_context(pipeline.lease())
            yield pipeline

    def locked_pipeline(self) -> Pipeline:
        """The same, for as long as somebody holds a lock under which it is not replaced, such as `lock`."""
        pipeline = self._saved or self._running
        if pipeline is None:
            raise failed_precondition(NO_PIPELINE)
        return pipeline

    @contextmanager
    def running_pipeline(self) -> Iterator[Pipeline]:
        """The pipeline that packets go through. Raises RequestError when there is none."""
        with ExitStack() as leases:
            with self._pipelines:
                if self._running is None:
                    raise failed_precondition(NO_PIPELINE)
                leases.enter_context(self._running.lease())
                pipeline = self._running
            yield pipeline

    # ---- Changes of the pipeline ----

    def run_program(self, program: bytes) -> None:
        """Run a BMv2 JSON without P4Info, until a controller brings one. Raises LoadError or BuildError."""
        self._program = self._load_engine(program)
        self.data_plane.run(self._program)

    def load(self, config: p4r.ForwardingPipelineConfig) -> Pipeline:
        """Compile a config, without any effect on the device. Raises RequestError."""
        return Pipeline.load(config, self._load_engine, self.data_plane.ports)

    def save(self, pipeline: Pipeline) -> None:
        """Let reads and writes go to this pipeline, until it is committed."""
        with self.lock:
            self._replace(running=self._running, saved=pipeline)

    def commit_saved(self) -> None:
        """Raises RequestError when none is saved."""
        with self.lock:
            if self._saved is None:
                raise not_found("no config was saved: VERIFY_AND_SAVE comes before COMMIT")
            self.commit(self._saved)

    def commit(self, pipeline: Pipeline) -> None:
        """Let packets go through this pipeline, and reads and writes to it."""
        with self.lock:
            self._traced = None
            self.data_plane.run(pipeline.engine)
            self._replace(running=pipeline, saved=None)
            self._close_program()

    def reconcile(self, pipeline: Pipeline) -> None:
        """As `commit`, with the state of the pipeline that runs until now.

        Raises RequestError when this pipeline cannot hold it; nothing has changed then.
        """
        with self.lock:
            running = self._running
            if running is None:
                self.commit(pipeline)
                return
            carry_written(running, pipeline)
            with self.data_plane.held():
                carry_counts(running, pipeline)
                self.commit(pipeline)

    def reconcile_cookie(self, config: p4r.ForwardingPipelineConfig) -> bool:
        """Take this config over if it is, except for the cookie, the one that runs; False if it is not."""
        with self.lock, self._pipelines:
            running = self._running
            if running is None or not _same_program(running.config, config):
                return False
            running.config = config
            saved, self._saved = self._saved, None
        if saved is not None:
            saved.retire()
        return True

    # ---- Seeing inside ----

    @property
    def has_program(self) -> bool:
        return self._running is not None or self._program is not None

    @contextmanager
    def _engine(self) -> Iterator[Engine | None]:
        """What packets go through, with P4Info or without."""
        with ExitStack() as leases:
            with self._pipelines:
                if self._running is not None:
                    leases.enter_context(self._running.lease())
                    engine = self._running.engine
                else:
                    engine = self._program
            yield engine

    @contextmanager
    def tracing(self, chosen: TraceFilter) -> Iterator[LiveTrace]:
        """Lets packets be traced, until `is_traced` is no longer so because another program runs.

        Raises RequestError when there is no program, or while another trace is under way; BuildError.
        """
        with self._engine() as engine:
            if engine is None:
                raise failed_precondition(NO_PIPELINE)
            with closing(engine.live_trace(chosen)) as live:
                self._trace_with(engine, live)
                try:
                    yield live
                finally:
                    with self.lock:
                        if self._traced is live:
                            self._traced = None
                            self.data_plane.run(engine)

    def _trace_with(self, engine: Engine, live: LiveTrace) -> None:
        with self.lock:
            if self._traced is not None:
                raise exhausted("packets are traced already: one trace at a time")
            with self._engine() as running:
                if running is not engine:
                    raise failed_precondition("the program was exchanged just now: trace again")
            self.data_plane.run(live)
            self._traced = live

    def is_traced(self, live: LiveTrace) -> bool:
        return self._traced is live

    def drops(self) -> Mapping[str, int]:
        """Packets that ended inside the program that runs, by reason; nothing when none does."""
        with self._engine() as engine:
            return engine.drops if engine is not None else {}

    def close(self) -> None:
        """Take the program out of the data plane and free everything."""
        with self.lock:
            self._traced = None
            self.data_plane.run(None)
            self._replace(running=None, saved=None)
            self._close_program()
        self._stop_listening()

    def _port_changed(self, port: Port) -> None:
        with ExitStack() as leases:
            with self._pipelines:
                pipelines = {self._running, self._saved} - {None}
                for pipeline in pipelines:
                    if pipeline is not None:
                        leases.enter_context(pipeline.lease())
            for pipeline in pipelines:
                if pipeline is not None:
                    pipeline.port_changed(port)

    def _close_program(self) -> None:
        if self._program:
            self._program.close()
            self._program = None

    def _replace(self, *, running: Pipeline | None, saved: Pipeline | None) -> None:
        with self._pipelines:
            before = {self._running, self._saved}
            self._running, self._saved = running, saved
        # From here on the new ones hear of changes; what was before, they are told now.
        self.data_plane.ports.tell(self._port_changed)
        for pipeline in before - {running, saved}:
            if pipeline is not None:
                pipeline.retire()
