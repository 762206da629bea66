"""Predictions on the thread that takes a wire's requests, which saves two changes of thread for each."""

import threading
import time
from collections import deque
from collections.abc import Callable

from model_server.errors import ModelServerError

LARGEST_BYTES = 128 * 1024
SLOW_SECONDS = 0.01
"""So long nobody is answered, and nobody sees when requests come; a change of thread is a hundredth of it."""
MOST_SLOW = 20
# So many quick ones make up for a slow one: now and then one is slow because the processor was taken away.
QUICK_FOR_A_SLOW = 20

Work = Callable[[], None]


class ElsewhereError(ModelServerError):
    """A small request that takes much work: another thread must begin it anew. No client is told."""


class _Place(threading.local):
    takes_turns = False


_place = _Place()


def check_work(size_bytes: int) -> None:
    """Called before a request is made into more than came of it.

    Raises:
        ElsewhereError: It is more than suits this thread, which takes a wire's requests.
    """
    if _place.takes_turns and size_bytes > LARGEST_BYTES:
        raise ElsewhereError


class Turns:
    """One prediction between two looks at what has come, until some of them were slow.

    The thread answers health and status as well, which so wait for one or two predictions and not for all that stand in
    line; and those are counted. Used by that thread alone.
    """

    def __init__(self, is_busy: Callable[[], bool], *, enabled: bool) -> None:
        """While `is_busy`, predictions stand in line for the interpreter, which other threads do."""
        self._is_busy = is_busy
        self._enabled = enabled
        self._slow = 0.0
        self._halfway_seconds = 0.0
        # How long the last prediction took.
        self.lasted_seconds = 0.0
        self._waiting: deque[tuple[Work, Work]] = deque()
        # Whether something may have come that nobody has looked at, as a prediction took its time.
        self.behind = False

    def __len__(self) -> int:
        """How many predictions wait for their turn."""
        return len(self._waiting)

    def date_arrival(self) -> float:
        """When what is read now came, by `time.perf_counter`.

        While a prediction ran nobody looked: what is found after it came in its middle, as far as can be told. Without
        this the wait for the end of another's prediction would be missing in each measured latency.
        """
        return self._halfway_seconds if self.behind else time.perf_counter()

    def suit(self, size_bytes: int) -> bool:
        """Whether nothing is gained by running a request of this size on another thread."""
        return self._enabled and size_bytes <= LARGEST_BYTES and not self._is_busy()

    def offer(self, run: Work, hand_over: Work) -> None:
        """Run it now, or in a later turn; if the interpreter is busy then, hand it over to another thread."""
        if self.behind:
            self._waiting.append((run, hand_over))
        else:
            self.behind = True
            self._time(run)

    def take(self) -> None:
        """Everything that has come was looked at: the next prediction runs, or there is none."""
        if not self._waiting:
            self.behind = False
            return
        run, hand_over = self._waiting.popleft()
        if self._is_busy():
            hand_over()
        else:
            self._time(run)

    def _time(self, run: Work) -> None:
        begun = time.perf_counter()
        _place.takes_turns = True
        try:
            run()
        finally:
            _place.takes_turns = False
            ended = time.perf_counter()
            self._halfway_seconds = (begun + ended) / 2
            self.lasted_seconds = ended - begun
        if ended - begun > SLOW_SECONDS:
            self._slow += 1
            self._enabled = self._slow < MOST_SLOW
        elif self._slow > 0:
            self._slow -= 1 / QUICK_FOR_A_SLOW
