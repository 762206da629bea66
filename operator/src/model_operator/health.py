"""Whether the operator works: /healthz for restarts and /readyz for readiness, answered by a thread of their own.

The thread answers also when the event loop hangs, which is what it is there to tell.
"""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from typing_extensions import override

MISSED_AUDITS = 3


class Health:
    """Signs of life, as monotonic times in seconds; written by the event loop and read by the server's threads."""

    def __init__(self, audit_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_seconds = MISSED_AUDITS * audit_seconds
        self._clock = clock
        self._queue_turned_at = self._audited_at = clock()
        self._audited = self._failed = False
        self._watch_problem = ""

    def note_queue(self) -> None:
        """The queue's loop went round."""
        self._queue_turned_at = self._clock()

    def note_listed(self) -> None:
        """One of an audit's lists was answered: many of them may take long, which is no fault of ours.

        After an audit that failed only a whole one counts.
        """
        if not self._failed:
            self._audited_at = self._clock()

    def note_failure(self) -> None:
        """Something could not be listed."""
        self._failed = True

    def note_audit(self, watch_problem: str = "") -> None:
        """What is there was listed; `watch_problem` says what the watch should have told and did not."""
        self._audited_at = self._clock()
        self._audited, self._failed = True, False
        self._watch_problem = watch_problem

    def find_problem(self) -> str:
        """Why the operator should be restarted; empty when it works."""
        now = self._clock()
        if now - self._queue_turned_at > self._patience_seconds:
            return f"the queue has not moved for {now - self._queue_turned_at:.0f} s"
        if now - self._audited_at > self._patience_seconds:
            return f"nothing could be listed for {now - self._audited_at:.0f} s"
        return self._watch_problem

    def is_ready(self) -> bool:
        """Whether all was listed once and nothing is wrong."""
        return self._audited and not self.find_problem()

    def serve(self, address: str, port: int) -> int:
        """Answer in a thread of its own, as long as the process lives; returns the port."""
        server = ThreadingHTTPServer((address, port), _handler(self))
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
        return int(server.server_address[1])


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            problem = health.find_problem()
            if self.path == "/healthz":
                self._answer(503 if problem else 200, problem or "ok")
            elif self.path == "/readyz":
                ready = health.is_ready()
                self._answer(200 if ready else 503, "ok" if ready else problem or "nothing was listed yet")
            else:
                self._answer(404, "there is /healthz and /readyz")

        def _answer(self, status: int, text: str) -> None:
            body = f"{text}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a probe every few seconds is no event."""

    return Handler
