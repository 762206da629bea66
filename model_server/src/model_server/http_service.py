"""The HTTP server: an event loop on a thread of its own, with predictions on a bounded number of worker threads."""

import asyncio
import http
import queue
import socket
import threading
import time
from concurrent.futures import Future
from typing import TypeAlias

from model_server.access_log import AccessLog
from model_server.admission import Admission
from model_server.errors import ResourceExhaustedError, StartupError
from model_server.http_connection import Connection
from model_server.memory_limit import RequestLimits
from model_server.predict import LARGE_BYTES
from model_server.rest_routes import CORS_HEADERS, PREDICTION_PATH, RestRequest, RestResponse, RestRoutes, RestSettings
from model_server.turns import ElsewhereError, Turns
from model_server.wire_rest import format_error

# So many may wait for each thread, whatever they take.
WAITING_PER_THREAD = 16
# Clients keep connections for minutes; a server that closes them first loses requests that are just being sent.
IDLE_SECONDS = 620.0
# A client that has begun a request and sends nothing more, or does not read its answer.
STALLED_SECONDS = 60.0
# The same for answers at the end: other clients wait for the next server, and four lost packets in a row take less.
STALLED_AT_END_SECONDS = 3.0
_SWEEP_SECONDS = 5.0
_BACKLOG = 2048
# Of the event loop: so many after it has come, a new connection's first request is read.
_ROUNDS = 4
# A turn in which hardly anybody comes; the rounds take some hundredths of it.
_SHORT_SECONDS = 0.001

Jobs: TypeAlias = "queue.SimpleQueue[tuple[RestRequest, Connection] | None]"


class HttpService:
    """The REST port; it listens from `start` until `stop`. Its fields change on the event loop's thread only."""

    def __init__(
        self,
        routes: RestRoutes,
        settings: RestSettings,
        access_log: AccessLog | None = None,
        limits: RequestLimits | None = None,
    ) -> None:
        self._routes = routes
        self._settings = settings
        self._access_log = access_log
        self._jobs: Jobs = queue.SimpleQueue()
        # One thread for all of them: each takes many times its size while it is read, and seconds of the processor.
        self._large_jobs: Jobs = queue.SimpleQueue()
        self._under_way = 0
        self._admission = Admission(settings.threads * (1 + WAITING_PER_THREAD), settings.longest_wait_seconds)
        self._turns = Turns(lambda: routes.busy, enabled=settings.inline)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None
        self._grace_seconds = 0.0
        self.connections: set[Connection] = set()
        self.buffered_bytes = 0
        self.largest_buffered_bytes = (limits or RequestLimits()).rest_bytes
        self.draining = False
        self.extra_headers = b"".join(b"%b: %b\r\n" % pair for pair in CORS_HEADERS) if settings.cors else b""

    def start(self) -> None:
        """Open the port.

        Raises:
            StartupError: The port is taken.
        """
        try:
            listener = _listen(self._settings.bind_address, self._settings.port)
        except OSError as error:
            raise StartupError(
                f"--rest_api_port={self._settings.port} cannot be opened for HTTP: {error.strerror or error};"
                " stop what listens there or give another port."
            ) from error
        for number in range(self._settings.threads):
            threading.Thread(target=self._work, args=(self._jobs,), name=f"rest-{number}", daemon=True).start()
        threading.Thread(target=self._work, args=(self._large_jobs,), name="rest-large", daemon=True).start()
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listener, started)), name="http", daemon=True
        )
        self._thread.start()
        started.result()

    def stop(self, grace_seconds: float) -> None:
        """Take no new connections, and wait at most the grace for the requests under way."""
        if self._loop is None or self._thread is None or self._stopping is None:
            return
        self._grace_seconds = grace_seconds
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(grace_seconds + 1)
        for _ in range(self._settings.threads):
            self._jobs.put(None)
        self._large_jobs.put(None)

    async def _serve(self, listener: socket.socket, started: "Future[None]") -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await self._loop.create_server(lambda: Connection(self), sock=listener, backlog=_BACKLOG)
        sweeping = asyncio.create_task(self._sweep())
        started.set_result(None)
        await self._stopping.wait()
        self.draining = True
        # Closing asyncio's server instead would leave a connection that was accepted just now without a protocol, and
        # its client waiting for nothing.
        self._loop.remove_reader(listener.fileno())
        listener.close()
        sweeping.cancel()
        await self._drain(time.monotonic() + self._grace_seconds)

    async def _drain(self, deadline: float) -> None:
        """Close what is idle now, and the rest after its answer or at the deadline."""
        while self.connections and time.monotonic() < deadline:
            now = time.monotonic()
            for connection in list(self.connections):
                if connection.measure_unread_seconds(now) > STALLED_AT_END_SECONDS:
                    connection.abort()
                elif not connection.busy:
                    connection.close()
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()

    async def _sweep(self) -> None:
        """End connections on which nothing has happened for too long."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = time.monotonic()
            for connection in list(self.connections):
                limit_seconds = STALLED_SECONDS if connection.receiving else IDLE_SECONDS
                if connection.measure_unread_seconds(now) > STALLED_SECONDS:
                    connection.abort()
                elif now - connection.active_seconds > limit_seconds and (connection.receiving or not connection.busy):
                    connection.close()

    def date_arrival(self) -> float:
        """See `Host`."""
        return self._turns.date_arrival()

    def dispatch(self, request: RestRequest, connection: Connection) -> None:
        """Predictions go to the workers; everything else is answered at once, also when all workers are busy."""
        if request.method != "POST" or not PREDICTION_PATH.fullmatch(request.path):
            self._finish(request, connection, self._routes.answer(request))
            return
        waiting = self._under_way + len(self._turns)
        if not self._admission.admits(waiting):
            seconds = self._admission.estimate_seconds(waiting)
            behind = "" if seconds is None else f", and one more would be answered in {seconds:.1f} s"
            error = ResourceExhaustedError(f"{waiting} requests are waiting{behind}: send fewer at once.")
            self._finish(request, connection, RestResponse(error.http, format_error(str(error))))
        elif not self._under_way and not request.gzipped and self._turns.suit(len(request.body)):
            self._offer(request, connection)
        else:
            self._hand_over(request, connection)

    def _hand_over(self, request: RestRequest, connection: Connection, *, large: bool = False) -> None:
        self._under_way += 1
        large = large or request.content_bytes > LARGE_BYTES
        (self._large_jobs if large else self._jobs).put((request, connection))

    def _offer(self, request: RestRequest, connection: Connection) -> None:
        waits = self._turns.behind

        def run() -> None:
            if waits:
                self._routes.observe_queue(time.perf_counter() - request.arrived_seconds)
            try:
                response = self._answer(request, connection)
            except ElsewhereError:
                self._hand_over(request, connection, large=True)
            else:
                self._finish_prediction(request, connection, response)

        try:
            self._turns.offer(run, lambda: self._hand_over(request, connection))
        finally:
            if not waits:
                self._plan_turn()

    def _plan_turn(self, rounds: int = _ROUNDS) -> None:
        """In the next round of the loop."""
        if self._loop is not None:
            self._loop.call_soon(self._take_turn, rounds)

    def _take_turn(self, rounds: int) -> None:
        """First let the loop read what came during the last turn, also over connections that it has yet to accept.

        A short turn is not worth that where somebody waits already.
        """
        hurries = len(self._turns) > 0 and self._turns.lasted_seconds < _SHORT_SECONDS
        if rounds and not (rounds < _ROUNDS and hurries):
            self._plan_turn(rounds - 1)
            return
        try:
            self._turns.take()
        finally:
            if self._turns.behind:
                self._plan_turn()

    def _answer(self, request: RestRequest, connection: Connection) -> RestResponse:
        # Nobody waits for the answer of a client that has gone.
        return RestResponse(499, "") if connection.closed else self._routes.answer(request)

    def _work(self, jobs: "Jobs") -> None:
        """A worker thread: answer until there is a None."""
        while (job := jobs.get()) is not None:
            request, connection = job
            self._routes.observe_queue(time.perf_counter() - request.arrived_seconds)
            response = self._answer(request, connection)
            large = jobs is self._large_jobs or len(request.body) + len(response.body) > LARGE_BYTES
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._end, request, connection, response)
            # Not kept until the next request comes.
            del job, request, connection, response
            if large:
                self._routes.tidy()

    def _end(self, request: RestRequest, connection: Connection, response: RestResponse) -> None:
        self._under_way -= 1
        self._finish_prediction(request, connection, response)

    def _finish_prediction(self, request: RestRequest, connection: Connection, response: RestResponse) -> None:
        if response.status == http.HTTPStatus.OK:
            self._admission.note_answer(request.arrived_seconds, time.perf_counter())
        self._finish(request, connection, response)

    def _finish(self, request: RestRequest, connection: Connection, response: RestResponse) -> None:
        connection.respond(response)
        if self._access_log is not None:
            seconds = time.perf_counter() - request.arrived_seconds
            sizes = len(request.body), 0 if request.method == "HEAD" else response.size_bytes
            self._access_log.add("REST", request.method, request.path, str(response.status), seconds, *sizes)


def _listen(address: str, port: int) -> socket.socket:
    """A listening socket; "::" also takes IPv4, and stands for 0.0.0.0 where there is no IPv6."""
    if address == "::" and not socket.has_dualstack_ipv6():
        address = "0.0.0.0"  # noqa: S104
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family, backlog=_BACKLOG, dualstack_ipv6=address == "::")
    # Inherited by every connection: asyncio sets it only on sockets that name TCP as their protocol, which these do
    # not, and without it each answer waits 40 ms for the client's delayed acknowledgement of its headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
