"""Calls that replace the list of models, on a thread of their own: loading takes minutes, and predictions go on."""

import logging
import queue
import threading

import grpc

from model_server.grpc_calls import Call, Take

_LOGGER = logging.getLogger(__name__)

# One is done, the others wait: each of them is a whole list, and only the last one stays.
MOST_RELOADS = 16


class ReloadCalls:
    """Answers one call after the other, from `start` until `give_up`."""

    def __init__(self, answer: Take, refuse: Take) -> None:
        """Answer with `answer`, and those beyond the most that may wait with `refuse`."""
        self._answer = answer
        self._refuse = refuse
        self._jobs: queue.SimpleQueue[Call] = queue.SimpleQueue()
        # Changes on the server's thread only.
        self._calls: set[Call] = set()
        # A process that ends does not wait for it: a model may be on its way from a bucket.
        self._thread = threading.Thread(target=self._work, name="grpc-reload", daemon=True)
        self._given_up = False

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def take(self, call: Call) -> None:
        """A call has come; on the server's thread."""
        if len(self._calls) >= MOST_RELOADS:
            self._refuse(call)
            return
        self._calls.add(call)
        call.ended = self._calls.discard
        self._jobs.put(call)

    def give_up(self) -> None:
        """The process ends: nobody who waits is answered any more."""
        self._given_up = True
        for call in list(self._calls):
            call.refuse(grpc.StatusCode.UNAVAILABLE, "The server is ending.")

    def _work(self) -> None:
        while True:
            call = self._jobs.get()
            try:
                if call.cancelled or self._given_up:
                    # Nobody waits for the answer any more.
                    call.refuse(grpc.StatusCode.CANCELLED, "")
                else:
                    self._answer(call)
            except Exception:
                # Without this thread no list is taken any more.
                _LOGGER.exception("a gRPC call failed")
