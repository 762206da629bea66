"""The HTTP server: uvicorn on a thread of its own, with predictions on a bounded number of worker threads."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn

from model_server.errors import ResourceExhaustedError, StartupError
from model_server.rest_routes import CORS_HEADERS, PREDICTION_PATH, RestRequest, RestResponse, RestRoutes, RestSettings
from model_server.wire_rest import format_error

# Beyond so many waiting requests for each thread, more would only wait past their time.
_WAITING_PER_THREAD = 16
_BACKLOG = 2048

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class HttpService:
    """The REST port; it listens from `start` until `stop`."""

    def __init__(self, routes: RestRoutes, settings: RestSettings) -> None:
        self._routes = routes
        self._settings = settings
        self._workers = ThreadPoolExecutor(settings.threads, thread_name_prefix="rest")
        self._under_way = 0
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

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
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._answer,
                http="httptools",
                loop="asyncio",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=_BACKLOG,
            )
        )
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="http", daemon=True)
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Take no new connections, and wait at most the grace for the requests under way."""
        if self._server is None or self._thread is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_seconds))
        self._server.should_exit = True
        self._thread.join(grace_seconds + 1)
        self._workers.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        request = await _read_request(scope, receive)
        if request is not None:
            response = await self._route(request)
            with contextlib.suppress(OSError):
                await _send_response(response, send, cors=self._settings.cors)

    async def _route(self, request: RestRequest) -> RestResponse:
        """Predictions go to the workers; everything else is answered at once, also when all workers are busy."""
        if request.method != "POST" or not PREDICTION_PATH.fullmatch(request.path):
            return self._routes.answer(request)
        if self._under_way >= self._settings.threads * (1 + _WAITING_PER_THREAD):
            error = ResourceExhaustedError(f"{self._under_way} requests are waiting: send fewer at once.")
            return RestResponse(error.http, format_error(str(error)))
        # Only the event loop's thread counts, so that no lock is needed.
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, self._routes.answer, request)
        finally:
            self._under_way -= 1


async def _read_request(scope: Message, receive: Receive) -> RestRequest | None:
    """The whole request, or None when the client has gone."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    query = scope["query_string"].decode("latin-1")
    path = scope["raw_path"].decode("latin-1")
    gzipped = any(name == b"content-encoding" and b"gzip" in value.lower() for name, value in scope["headers"])
    return RestRequest(scope["method"], f"{path}?{query}" if query else path, b"".join(chunks), gzipped)


async def _send_response(response: RestResponse, send: Send, *, cors: bool) -> None:
    body = response.body.encode("utf-8", errors="replace")
    headers = [
        (b"content-type", response.content_type.encode("ascii")),
        (b"content-length", str(len(body)).encode("ascii")),
        *(CORS_HEADERS if cors else ()),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


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
