"""A pool of workers that grows on demand: a copy of the weights is prepared only when requests wait for one."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from model_server.engine import Observe
from model_server.errors import DeadlineExceededError, ModelServerError, UnavailableError

_LOGGER = logging.getLogger(__name__)

Worker = TypeVar("Worker")
Result = TypeVar("Result")


class WorkerPool(Generic[Worker]):
    """At most `limit` workers, each used by one request at a time; the first is there from the start."""

    def __init__(self, first: Worker, make: Callable[[], Worker], limit: int) -> None:
        self._make = make
        self._limit = limit
        self._made = 1
        self._growing = False
        self._closed = False
        # Last in, first out: a lightly loaded server keeps using the worker whose memory is in the caches.
        self._idle = [first]
        self._freed = threading.Condition()

    @property
    def size(self) -> int:
        """How many workers there are or are being made."""
        return self._made

    def run(self, work: Callable[[Worker], Result], timeout_seconds: float | None, observe: Observe) -> Result:
        """What `work` makes of a free worker; `observe` is told how long was waited and worked, unless it fails.

        Raises:
            DeadlineExceededError: None became free within the time.
            UnavailableError: The pool is closed.
        """
        worker, waited_seconds = self.take(timeout_seconds)
        begun = time.perf_counter()
        try:
            result = work(worker)
        finally:
            self.give_back(worker)
        observe(waited_seconds, time.perf_counter() - begun)
        return result

    def take(self, timeout_seconds: float | None) -> tuple[Worker, float]:
        """A worker for one request, who gives it back, and the seconds that it was waited for.

        Raises:
            DeadlineExceededError: None became free within the time.
            UnavailableError: The pool is closed.
        """
        with self._freed:
            if self._idle and not self._closed:
                return self._idle.pop(), 0.0
            return self._wait(timeout_seconds)

    def give_back(self, worker: Worker) -> None:
        """The request is answered, or failed."""
        with self._freed:
            if not self._closed:
                self._idle.append(worker)
                self._freed.notify()

    def close(self) -> None:
        """Let go of the workers; those in use go when they are given back."""
        with self._freed:
            self._closed = True
            self._idle.clear()
            self._freed.notify_all()

    def _wait(self, timeout_seconds: float | None) -> tuple[Worker, float]:
        begun = time.monotonic()
        self._grow()
        free = self._freed.wait_for(
            lambda: self._idle or self._closed,
            None if timeout_seconds is None else max(timeout_seconds, 0.0),
        )
        if self._closed:
            raise UnavailableError("The version is being unloaded: send the request again.")
        if not free:
            raise DeadlineExceededError("No interpreter became free within the request's time.")
        return self._idle.pop(), time.monotonic() - begun

    def _grow(self) -> None:
        """Have one more worker made, on a thread of its own: requests go on with those there are."""
        if not self._growing and self._made < self._limit:
            self._growing = True
            self._made += 1
            threading.Thread(target=self._make_one, name="worker", daemon=True).start()

    def _make_one(self) -> None:
        try:
            worker = self._make()
        except ModelServerError:
            # The count stays: what failed once is not tried again for every request.
            _LOGGER.exception("one more worker could not be prepared")
            return
        finally:
            self._growing = False
        self.give_back(worker)
