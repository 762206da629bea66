"""Unary calls over gRPC's core, taken and answered by one thread: bytes in, bytes or a status out.

grpcio's own server changes threads four times for each call, which costs more than the rest of the call; its asyncio
server costs as much. So this uses the layer that both of them stand on, `grpc._cython.cygrpc`, and is the only
module that does; `grpc_core` checks it at the start. HTTP/2, TLS, compression, deadlines and channel arguments are the
core's.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from model_server.grpc_core import cygrpc
from model_server.turns import LARGEST_BYTES, Turns

_LOGGER = logging.getLogger(__name__)

_NO_FLAGS = 0
_CALL, _SHUTDOWN, _STATUS_SENT = object(), object(), object()
_AT_ONCE = 0.0


class Call:
    """One call with its whole request. It is answered once, from any thread; what is sent after that is not."""

    __slots__ = (
        *("_answered", "_core", "_deadline_seconds", "arrived_seconds"),
        *("cancelled", "due", "ended", "message", "method"),
    )

    def __init__(self, core: Any, method: str, deadline_seconds: float) -> None:
        self._core = core
        self._answered = False
        self._deadline_seconds = deadline_seconds
        self.method = method
        self.arrived_seconds = 0.0
        self.message = b""
        self.cancelled = False
        # The events that are still to come: that the client is through, and that the status is sent.
        self.due = 2
        # Called with this call on the server's thread after both.
        self.ended: Callable[[Call], None] | None = None

    def read_seconds_left(self) -> float:
        """Until the deadline; centuries where there is none."""
        return max(self._deadline_seconds - time.time(), 0.0)

    def answer(self, response: bytes) -> None:
        """Send the response."""
        self._send(cygrpc.SendMessageOperation(response, _NO_FLAGS), code=grpc.StatusCode.OK, details="")

    def refuse(self, code: grpc.StatusCode, details: str) -> None:
        """Send a status without a response."""
        self._send(code=code, details=details)

    def _send(self, *message: Any, code: grpc.StatusCode, details: str) -> None:
        if self._answered:
            return
        self._answered = True
        encoded = details.encode(errors="replace")
        status = cygrpc.SendStatusFromServerOperation(None, code.value[0], encoded, _NO_FLAGS)
        operations = (cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS), *message, status)
        self._core.start_server_batch(operations, (_STATUS_SENT, self))


Take = Callable[[Call], None]


class CallServer:
    """A gRPC server for unary methods; it listens from `start` until `stop`."""

    def __init__(self, methods: dict[str, Take], turns: Turns, options: Sequence[tuple[str, int | str]]) -> None:
        """Answer the methods, by their whole paths; each is called on the server's thread, which takes the turns."""
        self._methods = methods
        self._turns = turns
        self._server = cygrpc.Server(tuple(options), False)
        self._queue = cygrpc.CompletionQueue()
        self._server.register_completion_queue(self._queue)
        self._thread = threading.Thread(target=self._serve, name="grpc", daemon=True)
        self._ended = threading.Event()
        # The core tells the server's thread that all is over while `stop` is still in its midst, where it must not be
        # destroyed.
        self._destroying = threading.Lock()
        self._running = True
        # Calls that are not through, and the core's promise of the next one.
        self._open = 0

    def listen(self, address: str, credentials: grpc.ServerCredentials | None) -> None:
        """Listen there as well, from `start` on.

        Raises:
            OSError: The address is taken.
        """
        try:
            given = () if credentials is None else (credentials._credentials,)  # type: ignore[attr-defined]  # noqa: SLF001
            port = self._server.add_http2_port(address.encode(), *given)
        except RuntimeError as error:
            raise OSError(str(error)) from error
        if not port:
            raise OSError(f"{address} cannot be opened")

    def start(self) -> None:
        """Take calls."""
        self._server.start()
        self._request_call()
        self._thread.start()

    def stop(self, grace_seconds: float, give_up: Callable[[], None] = lambda: None) -> None:
        """Refuse new calls, and wait for those under way, which are cancelled after the grace.

        What is being computed then is waited for, since nothing can end it; `give_up` answers what shall not be. It may
        be called once, after `start`.
        """
        with self._destroying:
            self._server.shutdown(self._queue, _SHUTDOWN)
        if not self._ended.wait(grace_seconds):
            with self._destroying:
                if not self._ended.is_set():
                    self._server.cancel_all_calls()
            give_up()
            self._ended.wait()

    def _request_call(self) -> None:
        with contextlib.suppress(ValueError):  # `stop` was called, from another thread: there are no further calls
            self._server.request_call(self._queue, self._queue, _CALL)
            self._open += 1

    def _serve(self) -> None:
        while self._running or self._open:
            event = self._queue.poll(_AT_ONCE if self._turns.behind else None)
            try:
                self._handle(event)
            except Exception:
                # Without this thread nothing is answered any more.
                _LOGGER.exception("a gRPC call failed")
            # An event keeps its call alive.
            del event
        with self._destroying:
            self._server.destroy()
            self._ended.set()

    def _handle(self, event: Any) -> None:
        if event.completion_type == cygrpc.CompletionType.queue_timeout:
            self._turns.take()
        elif event.tag is _CALL:
            self._open -= 1
            if event.success:
                self._request_call()
                self._receive(event)
        elif event.tag is _SHUTDOWN:
            self._running = False
        else:
            step, call = event.tag
            if step is _STATUS_SENT:
                self._finish(call)
            else:
                step(call, event.batch_operations[0])

    def _receive(self, event: Any) -> None:
        """A call has begun: have its request read."""
        details = event.call_details
        call = Call(event.call, details.method.decode("utf-8", errors="replace"), details.deadline)
        call.arrived_seconds = self._turns.date_arrival()
        self._open += 1
        event.call.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),), (self._close, call))
        if call.method in self._methods:
            event.call.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), (self._take, call))
        else:
            call.refuse(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

    def _close(self, call: Call, operation: Any) -> None:
        call.cancelled = bool(operation.cancelled())
        self._finish(call)

    def _take(self, call: Call, operation: Any) -> None:
        message = operation.message()
        if message is None:
            # The client has gone, or has ended its call before it sent a request.
            call.refuse(grpc.StatusCode.UNIMPLEMENTED, f'"{call.method}" requires exactly one request message.')
        else:
            call.message = message
            # A short message comes with the call; it is read a step later.
            if len(message) > LARGEST_BYTES:
                call.arrived_seconds = self._turns.date_arrival()
            try:
                self._methods[call.method](call)
            except Exception:
                # A call that nobody answers would never end, nor would the server.
                _LOGGER.exception("a gRPC call failed")
                call.refuse(grpc.StatusCode.INTERNAL, "The server failed: its log says where.")

    def _finish(self, call: Call) -> None:
        call.due -= 1
        if not call.due:
            self._open -= 1
            if call.ended is not None:
                call.ended(call)
