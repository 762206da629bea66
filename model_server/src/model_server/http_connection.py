"""HTTP/1.1 on one connection: bytes to whole requests and responses back, one at a time and in order.

It knows nothing of what a path means. Everything runs on the event loop's thread.
"""

import asyncio
import fcntl
import http
import sys
import termios
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import httptools
from typing_extensions import override

from model_server.answer_packing import accepts_gzip
from model_server.rest_routes import RestRequest, RestResponse
from model_server.wire_rest import format_error

LARGEST_HEAD_BYTES = 64 * 1024
_REASONS = {status.value: status.phrase for status in http.HTTPStatus} | {499: "Client Closed Request"}
_LINGER_SECONDS = 2.0
# Of a body: what keeping a part by itself takes besides is little beside this.
_LARGE_PART_BYTES = 4096
PACKED_HEADERS = "content-encoding: gzip\r\nvary: accept-encoding\r\n"

Respond = Callable[[RestResponse], None]


class Host(Protocol):
    """What a connection needs of the service that it belongs to."""

    connections: "set[Connection]"
    # What all connections together hold of requests that are not answered and of answers that are not read, and may.
    buffered_bytes: int
    largest_buffered_bytes: int
    draining: bool
    extra_headers: bytes

    def date_arrival(self) -> float:
        """When the request that is whole now came, by `time.perf_counter`."""

    def dispatch(self, request: RestRequest, connection: "Connection") -> None:
        """Have the request answered: `connection.respond` is called on the event loop's thread, at once or later."""


class Connection(asyncio.Protocol):
    """One client. Reading stops while a request is answered and others wait, so that no client fills the memory."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[RestRequest, bool]] = deque()
        self._answering: tuple[RestRequest, bool] | None = None
        self._in_request = False
        # No request is read after this one: what follows cannot be told apart, or the client sends no more.
        self._last = False
        # What follows was refused, and the client may be sending it still.
        self._refused = False
        self.closed = False
        self.active_seconds = time.monotonic()
        # The client does not read: nothing more is answered until it does.
        self._writing_paused = False
        self._unread_bytes = 0
        self._queued_bytes = 0
        self._read_seconds = 0.0
        self._start_request()

    @property
    def busy(self) -> bool:
        """Whether a request has begun and is not answered."""
        return self._in_request or self._answering is not None or bool(self._waiting)

    @property
    def receiving(self) -> bool:
        """Whether the client has yet to send the rest of a request."""
        return self._in_request and self._answering is None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: there is a client."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        self._host.connections.add(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio: the client has gone; whatever it asked is not computed if it has not begun."""
        self.closed = True
        self._host.connections.discard(self)
        self._forget_body()
        for request, _ in (*self._waiting, *((self._answering,) if self._answering else ())):
            self._host.buffered_bytes -= request.content_bytes
        self._count_unread(0)
        self._waiting.clear()
        self._answering = None

    @override
    def data_received(self, data: bytes) -> None:
        """Asyncio: bytes of one or several requests, or of a part of one."""
        self.active_seconds = time.monotonic()
        if self._last:
            return
        self._framing_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # No other protocol is spoken here: the request is answered as it is, and nothing after it is read.
            self._last = True
        except httptools.HttpParserError as error:
            self._refuse(400, f"Malformed HTTP: {error}.")
        if self._in_request and self._framing_bytes > LARGEST_HEAD_BYTES:
            what = "chunk headers or trailers" if self._has_head else "headers"
            self._refuse(431, f"The request's {what} are too long.")

    @override
    def eof_received(self) -> bool:
        """Asyncio: the client sends no more; what it asked is still answered."""
        self._last = True
        return self._answering is not None or bool(self._waiting)

    @override
    def pause_writing(self) -> None:
        """Asyncio: the client does not read its answer; it may not ask more meanwhile."""
        self._writing_paused = True
        self._count_unread(self._read_unread_bytes())
        self._pause()

    @override
    def resume_writing(self) -> None:
        """Asyncio: the client has read."""
        self._writing_paused = False
        self._count_unread(self._read_unread_bytes())
        if self._answering is None and self._waiting:
            self._begin_next()
        else:
            self._resume()

    def on_message_begin(self) -> None:
        """Parser: the first byte of a request."""
        self._in_request = True

    def on_url(self, url: bytes) -> None:
        """Parser: a part of the path and query."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser: one header, or a trailer, which says nothing that counts here."""
        if self._has_head:
            return
        lowered = name.lower()
        if lowered == b"content-encoding" and b"gzip" in value.lower():
            self._gzipped = True
        elif lowered == b"accept-encoding":
            self._accepts_gzip = accepts_gzip(value.decode("latin-1"))
        elif lowered == b"expect" and value.lower() == b"100-continue":
            self._expects = True
        elif lowered == b"content-length" and not self._fits(int(value)):
            self._refuse_length(int(value))

    def on_headers_complete(self) -> None:
        """Parser: the body follows."""
        self._has_head = True
        self._framing_bytes = 0
        if self._expects and not self._last and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Parser: a part of the body."""
        if self._last:
            return
        self._framing_bytes = 0
        self._keep(body)
        self._host.buffered_bytes += len(body)
        if not self._fits(0):
            self._refuse_length(sum(map(len, self._body)))

    def on_message_complete(self) -> None:
        """Parser: the request is whole."""
        if self._last:
            return
        method = self._parser.get_method().decode("ascii")
        # The very part where there is one.
        body = bytes(self._body[0]) if len(self._body) == 1 else b"".join(self._body)
        arrived_seconds = self._host.date_arrival()
        path = self._url.decode("latin-1")
        request = RestRequest(method, path, body, self._gzipped, self._accepts_gzip, arrived_seconds)
        if self._gzipped:
            inflated_bytes = request.content_bytes
            if not self._fits(inflated_bytes - len(body)):
                self._refuse_length(inflated_bytes)
                return
            self._host.buffered_bytes += inflated_bytes - len(body)
        keep_alive = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._start_request()
        if self._answering is None and not self._waiting and not self._writing_paused:
            self._begin(request, keep_alive)
        else:
            self._waiting.append((request, keep_alive))
            self._pause()

    def respond(self, response: RestResponse) -> None:
        """Send the answer to the request that was dispatched last, and go on with the next one."""
        if self._answering is None or self._transport is None:
            return
        request, keep_alive = self._answering
        self._answering = None
        self._host.buffered_bytes -= request.content_bytes
        self.active_seconds = time.monotonic()
        keep_alive = keep_alive and not self._host.draining and not (self._last and not self._waiting)
        self._write(response, keep_alive=keep_alive, with_body=request.method != "HEAD")
        if not keep_alive and self._refused:
            self._linger()
        elif not keep_alive:
            self._transport.close()
        elif self._waiting:
            if not self._writing_paused:
                self._begin_next()
        else:
            self._resume()

    def measure_unread_seconds(self, now_seconds: float) -> float:
        """For how long the client has read nothing of an answer that it was sent; 0 where it has read, or is through.

        It is as exact as this is called often.
        """
        unread_bytes = self._read_unread_bytes()
        # The system takes more only when it has sent much of what it has, and a slow client reads that for minutes.
        queued_bytes = unread_bytes and self._read_queued_bytes()
        if unread_bytes == 0 or unread_bytes != self._unread_bytes or queued_bytes != self._queued_bytes:
            self._count_unread(unread_bytes)
            self._queued_bytes = queued_bytes
            return 0.0
        return now_seconds - self._read_seconds

    def abort(self) -> None:
        """End the connection at once; what the client has not read is lost."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """End the connection when what was answered is read; nothing more is answered on it."""
        if self._transport is None:
            return
        if self.busy:
            self._transport.abort()
        else:
            self._transport.close()

    def _start_request(self) -> None:
        self._url = b""
        self._body: list[bytes | bytearray] = []
        self._gzipped = self._accepts_gzip = self._expects = self._has_head = self._in_request = False
        # Of the head; then since it, or since the last part of the body: of chunk headers and trailers.
        self._framing_bytes = 0

    def _keep(self, part: bytes) -> None:
        """Small parts that follow others go into one array: each by itself would take many times its size."""
        if not self._body or len(part) >= _LARGE_PART_BYTES:
            self._body.append(part)
        elif isinstance(joined := self._body[-1], bytearray):
            joined += part
        else:
            self._body.append(bytearray(part))

    def _fits(self, more_bytes: int) -> bool:
        return self._host.buffered_bytes + more_bytes <= self._host.largest_buffered_bytes

    def _refuse_length(self, size_bytes: int) -> None:
        largest_bytes = self._host.largest_buffered_bytes
        if size_bytes > largest_bytes:
            message = f"The request is larger than the {largest_bytes} bytes that are taken: send less at once."
        else:
            message = "Too much is being sent at once: send the request again."
        self._refuse(429, message)

    def _read_unread_bytes(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None and not self.closed else 0

    def _read_queued_bytes(self) -> int:
        """What the system has taken and the client has not."""
        assert self._transport is not None  # noqa: S101
        answer = fcntl.ioctl(self._transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(answer, sys.byteorder)

    def _count_unread(self, unread_bytes: int) -> None:
        self._host.buffered_bytes += unread_bytes - self._unread_bytes
        self._unread_bytes = unread_bytes
        self._read_seconds = time.monotonic()

    def _begin_next(self) -> None:
        self._answering = self._waiting.popleft()
        # Not at once: a thousand small requests that came together would stand on each other's stack.
        asyncio.get_running_loop().call_soon(self._host.dispatch, self._answering[0], self)

    def _begin(self, request: RestRequest, keep_alive: bool) -> None:
        self._answering = (request, keep_alive)
        self._host.dispatch(request, self)

    def _refuse(self, status: int, message: str) -> None:
        """Read no more: what follows on this connection cannot be told apart.

        It is said where no other answer is due; else the connection ends with the last one that is.
        """
        if self._last:
            return
        self._last = self._refused = True
        self._forget_body()
        self._in_request = False
        if self._transport is None or self.closed:
            return
        if self._answering is None and not self._waiting:
            self._write(RestResponse(status, format_error(message)), keep_alive=False)
            self._linger()

    def _linger(self) -> None:
        """Close later: a client that is still sending would lose the answer if its bytes met a closed socket."""
        assert self._transport is not None  # noqa: S101
        self._resume()
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.close)

    def _forget_body(self) -> None:
        self._host.buffered_bytes -= sum(map(len, self._body))
        self._body = []

    def _write(self, response: RestResponse, *, keep_alive: bool, with_body: bool = True) -> None:
        if self._transport is None or self.closed:
            return
        body = response.packed or response.body.encode("utf-8", errors="replace")
        head = (
            f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Error')}\r\n"
            f"content-type: {response.content_type}\r\ncontent-length: {len(body)}\r\n"
            f"{PACKED_HEADERS if response.packed else ''}"
            f"{'' if keep_alive else 'connection: close' + chr(13) + chr(10)}"
        ).encode("latin-1")
        self._transport.write(head + self._host.extra_headers + b"\r\n" + (body if with_body else b""))

    def _pause(self) -> None:
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def _resume(self) -> None:
        held = self._waiting or self._writing_paused
        if self._transport is not None and not held and not self._transport.is_closing():
            self._transport.resume_reading()
