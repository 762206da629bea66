"""A line to a server that can be slow, break off, or set something off in the middle of a transfer."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loopback import HOST

_PIECE_BYTES = 2**14


class Line:
    """Forwards connections byte for byte.

    Attributes:
        port: on 127.0.0.1.
        carried_bytes: in both directions so far.
        seconds_a_piece: pause after each piece of 16 KiB; may be changed while it runs.
        silent: whether nothing is carried any more, with all connections left open.
        alter_at: one bit of the byte with that number, of all that goes to the server, is carried wrongly.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listening = socket.create_server((HOST, 0))
        self.port = self._listening.getsockname()[1]
        self.carried_bytes = 0
        self.seconds_a_piece = 0.0
        self.silent = False
        self.alter_at: int | None = None
        self._to_server_bytes = 0
        self._after: tuple[int, Callable[[], None]] | None = None
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def after(self, count: int, action: Callable[[], None]) -> None:
        """Do something once that many more bytes were carried."""
        with self._lock:
            self._after = self.carried_bytes + count, action

    def cut(self) -> None:
        """Cut all connections; new ones are carried."""
        cut, self._open = self._open, []
        for each in cut:
            _end(each)

    def close(self) -> None:
        """Listen no more and cut all connections."""
        _end(self._listening)
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                try:
                    far = socket.create_connection((HOST, self._target_port), 5)
                except OSError:
                    near.close()
                    continue
                self._open += [near, far]
                for source, sink, there in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._carry, args=(source, sink, there), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, there: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE_BYTES):
                self._count(len(data))
                data = self._alter(data) if there else data
                while self.silent:
                    time.sleep(0.05)
                time.sleep(self.seconds_a_piece)
                sink.sendall(data)
        _end(source)
        _end(sink)

    def _alter(self, data: bytes) -> bytes:
        with self._lock:
            begin = self._to_server_bytes
            self._to_server_bytes += len(data)
        if self.alter_at is None or not begin <= self.alter_at < begin + len(data):
            return data
        altered = bytearray(data)
        altered[self.alter_at - begin] ^= 1
        return bytes(altered)

    def _count(self, carried: int) -> None:
        with self._lock:
            self.carried_bytes += carried
            due = self._after is not None and self.carried_bytes >= self._after[0]
            action = self._after[1] if self._after is not None and due else None
            self._after = None if due else self._after
        if action is not None:
            action()


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


@contextmanager
def open_line(target_port: int) -> Iterator[Line]:
    """A line that is cut at the end of the block."""
    line = Line(target_port)
    try:
        yield line
    finally:
        line.close()
