"""A Prometheus that is broken in ways that can be chosen, on a port that is known before it is there."""

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from itertools import count
from typing import Any, Self

from loopback import HOST, free_ports

_PIECE = b"x" * 65_536
_PATIENCE_SECONDS = 60.0


def _answer(body: bytes, status: str = "200 OK", kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _vector(value: str) -> bytes:
    elements = [{"metric": {"pod": "small-aaaaaaaaaa-abcde"}, "value": [0, value]}]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": elements}}).encode()


ANSWERS = {
    "an HTML page": _answer(b"<!doctype html><title>Sign in</title>", kind="text/html"),
    "JSON of another kind": _answer(b'{"status": "success", "data": [1, 2, 3]}'),
    "JSON that is none": _answer(b'{"status": "succ'),
    "an answer that ends early": _answer(_vector("1"))[:-20],
    "no HTTP": b"\x00\x01\x02\x03 what?\r\n\r\n",
    "500": _answer(b"out of memory", "500 Internal Server Error", "text/plain"),
    "a sign-in elsewhere": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "NaN": _answer(_vector("NaN")),
    "nothing known": _answer(b'{"status": "success", "data": {"resultType": "vector", "result": []}}'),
}
SILENT = "no answer"
SLOW = "a byte at a time"
HUGE = "an answer without an end"


class LyingPrometheus:
    """`with LyingPrometheus() as prometheus:` answers, from `begin` on, as its `way` says.

    Attributes:
        way: a key of ANSWERS, or SILENT, SLOW or HUGE; it may be changed at any time.
        waiting: the questions, numbered as they came, that wait for their answers now.
        held_seconds: how long each client stayed that was given no whole answer.
        sent_bytes: the most that a client took of one.
    """

    def __init__(self, way: str) -> None:
        """Take a port."""
        self.way = way
        self.waiting: set[int] = set()
        self.held_seconds: list[float] = []
        self.sent_bytes = 0
        (self._port,) = free_ports(1)
        self._server: socketserver.ThreadingTCPServer | None = None
        self._ended = threading.Event()
        self._numbers = count()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self._port}"

    def __enter__(self) -> Self:
        """Not there yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ended.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def begin(self) -> None:
        """Take connections from now on."""
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer.talk(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server((HOST, self._port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def talk(self, connection: Any) -> None:
        """One connection to its end."""
        connection.settimeout(_PATIENCE_SECONDS)
        try:
            # A question that comes in two pieces is as good as one.
            if not connection.recv(65_536):
                return
            if self.way in ANSWERS:
                connection.sendall(ANSWERS[self.way])
                return
            self._hold(connection)
        except OSError:
            return

    def _hold(self, connection: Any) -> None:
        begun, sent, number = time.monotonic(), 0, next(self._numbers)
        self.waiting.add(number)
        try:
            for piece in self._pieces(connection):
                connection.sendall(piece)
                sent += len(piece)
                self.sent_bytes = max(self.sent_bytes, sent)
        finally:
            self.waiting.discard(number)
            self.held_seconds.append(time.monotonic() - begun)

    def _pieces(self, connection: Any) -> Iterator[bytes]:
        if self.way == SILENT:
            connection.recv(1)  # until the client has had enough
            return
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000000000\r\n\r\n"
        while not self._ended.is_set():
            if self.way == SLOW:
                self._ended.wait(0.1)
            yield b" " if self.way == SLOW else _PIECE
