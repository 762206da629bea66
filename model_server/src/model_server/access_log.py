"""One line of JSON for each request, to a file descriptor; written by a thread of its own, never by who answers."""

import contextlib
import json
import logging
import os
import queue
import threading
import time

_LOGGER = logging.getLogger(__name__)

# What a slow reader of the log may be behind; more is left out, and the next line says how much.
_LONGEST_QUEUE = 10_000
_MOST_LINES_AT_ONCE = 256
# Clients choose it: of a gRPC call it is the model's name, as long as a message may be.
LONGEST_PATH = 1024
# Of the time that a pod has to end, for a reader that has stopped reading.
CLOSE_SECONDS = 2.0

Line = dict[str, object]


class AccessLog:
    """Lines leave in the order of the answers; the queue is bounded, so that a full disk stops no request.

    What cannot be written is left out, and told of in the next line that can.
    """

    def __init__(self, descriptor: int) -> None:
        """Write there.

        A stream of Python's would keep what could not be written, and fail with it once more when the process ends.
        """
        self._descriptor = descriptor
        self._lines: queue.Queue[Line | None] = queue.Queue(_LONGEST_QUEUE)
        self._left_out = 0
        # The writer's own, as is whether a line was cut off.
        self._unwritten = 0
        self._cut = False
        self._closing = False
        self._thread = threading.Thread(target=self._write_all, name="access-log", daemon=True)
        self._thread.start()

    def add(  # noqa: PLR0917
        self, wire: str, method: str, path: str, status: str, seconds: float, request_bytes: int, response_bytes: int
    ) -> None:
        """Note one request; `status` is HTTP's number or gRPC's name."""
        line: Line = {
            "time": time.time(),
            "wire": wire,
            "method": method,
            "path": path[:LONGEST_PATH],
            "status": status,
            "milliseconds": round(1e3 * seconds, 3),
            "requestBytes": request_bytes,
            "responseBytes": response_bytes,
        }
        if self._left_out:
            line["leftOut"] = self._left_out
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._left_out += 1
        else:
            self._left_out = 0

    def close(self, grace_seconds: float = CLOSE_SECONDS) -> None:
        """Write what is waiting, for so long at most, and end; a thread that stands in a write is left behind."""
        self._closing = True
        # A full queue needs nothing that wakes the writer: it looks whether this is the end after the last line.
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(grace_seconds)
        if self._thread.is_alive():
            _LOGGER.warning("the access log is left with %d lines: its reader does not read", self._lines.qsize())

    def _write_all(self) -> None:
        while lines := self._take():
            try:
                self._write(lines)
            except OSError as error:
                if not self._unwritten:
                    _LOGGER.warning("the access log cannot be written, and its lines are left out: %s", error)
                self._unwritten += len(lines)

    def _take(self) -> list[Line]:
        """The lines that are waiting, one at least; none at the end."""
        lines: list[Line] = []
        while len(lines) < _MOST_LINES_AT_ONCE:
            try:
                line = self._lines.get(block=not lines and not self._closing)
            except queue.Empty:
                break
            if line is None:
                break
            lines.append(line)
            if self._lines.empty():
                break
        return lines

    def _write(self, lines: list[Line]) -> None:
        """Raises OSError where not all was written."""
        if self._unwritten:
            left_out = lines[0].get("leftOut", 0)
            lines[0]["leftOut"] = self._unwritten + (left_out if isinstance(left_out, int) else 0)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        rest = memoryview(("\n" + text if self._cut else text).encode())
        while rest:
            written = os.write(self._descriptor, rest)
            self._cut = rest[written - 1] != ord("\n")
            rest = rest[written:]
        self._unwritten = 0
