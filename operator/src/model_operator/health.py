"""Whether the operator works: /healthz for restarts and /readyz for readiness, answered by a thread of their own.

/healthz fails where the operator itself is stuck: its queue, its audits, or its watch while the API server answers
others. /readyz fails also while the API server is away or refuses.

The thread answers also when the event loop hangs, which is what it is there to tell.
"""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from typing_extensions import override

MISSED_AUDITS = 3


class Health:
    """Signs of life, as monotonic times in seconds; written by the event loop and read by the server's threads.

    What a restart would mend is told apart from what it would not: an operator that is restarted while the API server
    is away cannot begin again, and waits for the kubelet's back-off when that is back.
    """

    def __init__(
        self,
        turn_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        audit_seconds: float | None = None,
    ) -> None:
        """All is well for now.

        Args:
            turn_seconds: a third of what the queue may stand still.
            clock: in seconds.
            audit_seconds: between two audits; as `turn_seconds` where it is not stated.
        """
        self._turn_patience_seconds = MISSED_AUDITS * turn_seconds
        self._audit_patience_seconds = MISSED_AUDITS * (audit_seconds or turn_seconds)
        self._clock = clock
        self._queue_turned_at = self._tried_at = self._audited_at = clock()
        self._audited = self._failed = False
        self._watch_problem = self._mendable = ""

    def note_queue(self) -> None:
        """The queue's loop went round."""
        self._queue_turned_at = self._clock()

    def note_listed(self) -> None:
        """One of an audit's lists was answered: many of them may take long, which is no fault of ours.

        After an audit that failed only a whole one counts as answered.
        """
        self._tried_at = self._clock()
        if not self._failed:
            self._audited_at = self._tried_at

    def note_failure(self, mendable: str = "") -> None:
        """Something could not be listed; so nobody knows whether the watch is dead.

        Args:
            mendable: the reason, where a restart may mend it.
        """
        self._tried_at = self._clock()
        self._failed = True
        self._watch_problem, self._mendable = "", mendable

    def note_audit(self, watch_problem: str = "") -> None:
        """What is there was listed; `watch_problem` says what the watch should have told and did not."""
        self._tried_at = self._audited_at = self._clock()
        self._audited, self._failed = True, False
        self._watch_problem, self._mendable = watch_problem, ""

    def find_problem(self) -> str:
        """Why the operator should be restarted: it stands still, or is deaf; empty where that would mend nothing."""
        now = self._clock()
        if now - self._queue_turned_at > self._turn_patience_seconds:
            return f"the queue has not moved for {now - self._queue_turned_at:.0f} s"
        if now - self._tried_at > self._audit_patience_seconds:
            return f"nothing was tried to be listed for {now - self._tried_at:.0f} s"
        unlisted = self._find_unlisted()
        return f"{unlisted}: {self._mendable}" if unlisted and self._mendable else self._watch_problem

    def find_hindrance(self) -> str:
        """Why the operator cannot do its work now; empty when it can."""
        return self.find_problem() or self._find_unlisted() or ("" if self._audited else "nothing was listed yet")

    def _find_unlisted(self) -> str:
        """For how long nothing could be listed, where that is too long."""
        seconds = self._clock() - self._audited_at
        return f"nothing could be listed for {seconds:.0f} s" if seconds > self._audit_patience_seconds else ""

    def is_ready(self) -> bool:
        """Whether all was listed once and nothing is wrong."""
        return not self.find_hindrance()

    def serve(self, address: str, port: int) -> int:
        """Answer in a thread of its own, as long as the process lives; returns the port."""
        server = ThreadingHTTPServer((address, port), _handler(self))
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
        return int(server.server_address[1])


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            find = {"/healthz": health.find_problem, "/readyz": health.find_hindrance}.get(self.path)
            if find is not None:
                problem = find()
                self._answer(503 if problem else 200, problem or "ok")
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
