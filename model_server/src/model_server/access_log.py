"""One line of JSON for each request, on a stream of its own; written by a thread of its own, never by who answers."""

import json
import queue
import threading
import time
from typing import TextIO

# What a slow reader of the log may be behind; more is left out, and the next line says how much.
_LONGEST_QUEUE = 10_000


class AccessLog:
    """Lines leave in the order of the answers; the queue is bounded, so that a full disk stops no request."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: queue.Queue[dict[str, object] | None] = queue.Queue(_LONGEST_QUEUE)
        self._left_out = 0
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def add(  # noqa: PLR0917
        self, wire: str, method: str, path: str, status: str, seconds: float, request_bytes: int, response_bytes: int
    ) -> None:
        """Note one request; `status` is HTTP's number or gRPC's name."""
        line: dict[str, object] = {
            "time": time.time(),
            "wire": wire,
            "method": method,
            "path": path,
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

    def close(self) -> None:
        """Write what is waiting, and end."""
        self._lines.put(None)
        self._thread.join()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            self._stream.write(json.dumps(line) + "\n")
            if self._lines.empty():
                self._stream.flush()
