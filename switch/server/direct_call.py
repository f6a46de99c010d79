"""One method of a gRPC server, served without a detour.

grpcio hands each call from the thread that hears of it to one of a pool and back, several times: half of the
processor's time that an empty call takes. A controller that writes entries one by one waits for just that.
Here one thread has a completion queue of its own for one method, and does all of a quick call by itself; the
others go to a pool. Other methods, and all that concerns connections, stay with grpcio's server.

This takes the names of grpcio's core, which are not public. Where one is missing, `direct_call` says so, and
the method is served as the others are.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn, TypeAlias

import grpc
from grpc._cython import cygrpc

from switch.server.busy_poll import BusyPoll
from switch.server.watchdog import Watchdog

LOG = logging.getLogger(__name__)

MOST_OPEN = 1000
"""Calls that wait for their message, or to be answered; more are refused (RESOURCE_EXHAUSTED)."""

STALL_TIMEOUT = 30.0
"""Seconds in which a call's message must come."""

THREADS = 8
"""For calls that are not quick."""

NO_FLAGS = 0

_NEEDED = (
    (cygrpc, "CompletionQueue", "CompletionType", "ReceiveMessageOperation", "SendInitialMetadataOperation"),
    (cygrpc, "SendMessageOperation", "SendStatusFromServerOperation", "ReceiveCloseOnServerOperation"),
    (cygrpc.Server, "register_method", "register_completion_queue", "request_registered_call"),
    (cygrpc.CompletionQueue, "poll", "shutdown"),
    (cygrpc.Call, "start_server_batch"),
)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class _Aborted(Exception):
    """The handler has said what becomes of the call."""


class _Context:
    """As much of a grpc.ServicerContext as handlers need that refuse what is wrong."""

    def __init__(self) -> None:
        self.code = grpc.StatusCode.OK
        self.details = ""
        self.trailers: tuple[tuple[str, str | bytes], ...] = ()

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        self.code, self.details = code, details
        raise _Aborted

    def set_trailing_metadata(self, trailers: tuple[tuple[str, str | bytes], ...]) -> None:
        self.trailers = trailers


class DirectCall:
    """Serves from `start` until the server has stopped and `stop` is called."""

    def __init__(
        self, core: Any, method: str, handler: Handler, quick: Callable[[bytes], bool], watchdog: Watchdog
    ) -> None:
        """core: the server's cygrpc.Server. The others: as `direct_call` has them."""
        self._core = core
        self._method = method
        self._handler = handler
        self._quick = quick
        self._watchdog = watchdog
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="direct")
        self._queue = cygrpc.CompletionQueue()
        self._open = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name="direct")
        core.register_method(method)
        core.register_completion_queue(self._queue)

    def start(self) -> None:
        """After the server has started."""
        self._ask_for_next()
        self._thread.start()

    def stop(self) -> None:
        """After the server has stopped; waits until its calls have ended."""
        self._thread.join()
        self._pool.shutdown()

    def _serve(self) -> None:
        waiting = BusyPoll(self._queue.poll, _came)
        while (event := waiting.next()).completion_type != cygrpc.CompletionType.queue_shutdown:
            event.tag(event)
            del event  # and with it a call that has ended, before the next wait

    def _ask_for_next(self) -> None:
        try:
            self._core.request_registered_call(self._queue, self._queue, self._method, self._begin)
        except ValueError:  # the server stops, and began to when nothing was asked: nothing else ends it
            self._no_more()

    def _begin(self, event: Any) -> None:
        if not event.success:
            self._no_more()
            return
        call = event.call
        self._open += 1
        if self._open > MOST_OPEN:
            self._end(call, _refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls at a time"))
        else:
            limit = self._watchdog.start(STALL_TIMEOUT, partial(_give_up, call))
            read = (cygrpc.ReceiveMessageOperation(NO_FLAGS),)
            call.start_server_batch(read, partial(self._hear, call, limit))
        self._ask_for_next()

    def _hear(self, call: Any, limit: object, event: Any) -> None:
        self._watchdog.stop(limit)
        octets = event.batch_operations[0].message()
        if octets is None:
            self._end(call, _refusal(grpc.StatusCode.UNIMPLEMENTED, "the request has no message"))
        elif self._quick(octets):
            self._answer(call, octets)
        else:
            self._pool.submit(self._answer, call, octets)

    def _answer(self, call: Any, octets: bytes) -> None:
        self._end(call, self._handled(octets))

    def _handled(self, octets: bytes) -> tuple[Any, ...]:
        """What is sent back."""
        try:
            request = _required(self._handler.request_deserializer)(octets)
        except Exception as error:
            return _refusal(grpc.StatusCode.INTERNAL, f"the request cannot be read: {error}")
        context = _Context()
        try:
            response = _required(self._handler.unary_unary)(request, context)
            message = _required(self._handler.response_serializer)(response)
        except _Aborted:
            return _refusal(context.code, context.details, context.trailers)
        except Exception:
            LOG.exception("%s failed", self._method)
            return _refusal(grpc.StatusCode.UNKNOWN, "the switch failed; its standard error says why")
        return (
            cygrpc.SendMessageOperation(message, NO_FLAGS),
            _status(grpc.StatusCode.OK, "", context.trailers),
        )

    def _end(self, call: Any, answer: tuple[Any, ...]) -> None:
        begin = cygrpc.SendInitialMetadataOperation(None, NO_FLAGS)
        close = cygrpc.ReceiveCloseOnServerOperation(NO_FLAGS)
        call.start_server_batch((begin, *answer, close), partial(self._ended, call))

    def _ended(self, _call: Any, _event: Any) -> None:
        """The call is kept until here."""
        self._open -= 1
        self._close_when_done()

    def _no_more(self) -> None:
        self._stopping = True
        self._close_when_done()

    def _close_when_done(self) -> None:
        """Nothing may be asked of a queue that is shut down, and so of no call that is still open."""
        if self._stopping and not self._open:
            self._queue.shutdown()


def direct_call(
    server: grpc.Server, method: str, handler: Handler, quick: Callable[[bytes], bool], watchdog: Watchdog
) -> DirectCall | None:
    """To be called before the server starts. None: this grpcio is not as expected.

    method: as in the path of a request. quick: whether a request, as it came, is answered without waiting for
    anything. watchdog: ends calls whose message does not come.
    """
    core = getattr(getattr(server, "_state", None), "server", None)
    missing = [name for where, *names in _NEEDED for name in names if not hasattr(where, name)]
    if not isinstance(core, cygrpc.Server) or missing:
        LOG.warning("grpcio %s is not as expected: %s is served more slowly", grpc.__version__, method)
        return None
    return DirectCall(core, method, handler, quick, watchdog)


def _came(event: Any) -> bool:
    return event.completion_type != cygrpc.CompletionType.queue_timeout


def _give_up(call: Any) -> None:
    call.cancel(grpc.StatusCode.DEADLINE_EXCEEDED.value[0], "the request did not come in time")


def _required(function: Callable[..., Any] | None) -> Callable[..., Any]:
    assert function is not None, "a handler of one message, answered by one"
    return function


def _status(code: grpc.StatusCode, details: str, trailers: tuple[tuple[str, str | bytes], ...]) -> Any:
    return cygrpc.SendStatusFromServerOperation(trailers, code.value[0], details.encode(), NO_FLAGS)


def _refusal(
    code: grpc.StatusCode, details: str, trailers: tuple[tuple[str, str | bytes], ...] = ()
) -> tuple[Any, ...]:
    return (_status(code, details, trailers),)
