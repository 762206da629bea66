"""Which model is looked at when: one queue, each key once, never the same key twice at a time.

Keys come again after the time that the work names, sooner when they are added, and after an error later and later. It
runs in one event loop and is used from there only.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from model_operator.errors import ModelOperatorError

Key = tuple[str, str]
"""Namespace and name."""
Work = Callable[[Key], Awaitable[float | None]]
"""Does one pass and says after how many seconds the key comes again; None when it is gone for good."""

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 300.0
_LONGEST_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


def plan_backoff_seconds(failures: int, fraction: float) -> float:
    """How long to wait after so many failures in a row.

    Args:
        failures: at least 1.
        fraction: 0 to 1, at random; takes off up to a half, so that what failed together does not come together.
    """
    whole = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 30))
    return whole * (1 - fraction / 2)


class WorkQueue:
    """Runs `work` for the keys that are due, at most `workers` at a time.

    Attributes:
        turned_at: when the loop last went round, in the event loop's time; None before it began.
        depth: keys that were due then and had to wait for a worker.
    """

    def __init__(self, work: Work, workers: int, pick_fraction: Callable[[], float] = random.random) -> None:
        self._work = work
        self._workers = workers
        self._pick_fraction = pick_fraction
        self._due: dict[Key, float] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()
        self._stopping = False
        self.turned_at: float | None = None
        self.depth = 0

    def add(self, key: Key, after_seconds: float = 0.0) -> None:
        """Have the key worked on after this long at the latest; while it runs, once more after that."""
        due = asyncio.get_running_loop().time() + after_seconds
        self._due[key] = min(due, self._due.get(key, due))
        self._changed.set()

    async def run(self) -> None:
        """Work until `stop` is called, and then until what runs has ended."""
        loop = asyncio.get_running_loop()
        while not self._stopping:
            self._changed.clear()
            now = self.turned_at = loop.time()
            for key in self._startable(now):
                del self._due[key]
                self._running[key] = asyncio.create_task(self._run_one(key), name=f"reconcile {'/'.join(key)}")
            await self._pause(now)
        if self._running:
            await asyncio.wait(self._running.values())

    def stop(self) -> None:
        """Start nothing more."""
        self._stopping = True
        self._changed.set()

    def _startable(self, now: float) -> list[Key]:
        """The keys to start now, those that have waited longest first."""
        free = self._workers - len(self._running)
        due = sorted((when, key) for key, when in self._due.items() if when <= now and key not in self._running)
        self.depth = max(0, len(due) - free)
        return [key for _, key in due[:free]]

    async def _pause(self, now: float) -> None:
        """Wait for a change or for the next key, but never so long that the loop seems to have stopped."""
        waiting = [when - now for key, when in self._due.items() if key not in self._running and when > now]
        try:
            await asyncio.wait_for(self._changed.wait(), min([_LONGEST_PAUSE_SECONDS, *waiting]))
        except TimeoutError:
            return

    async def _run_one(self, key: Key) -> None:
        try:
            after_seconds = await self._work(key)
        except Exception as error:  # noqa: BLE001 - whatever it is, this key comes again and the others go on
            self._back_off(key, error)
        else:
            self._failures.pop(key, None)
            if after_seconds is not None:
                self.add(key, after_seconds)
        finally:
            del self._running[key]
            self._changed.set()

    def _back_off(self, key: Key, error: Exception) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        after_seconds = plan_backoff_seconds(failures, self._pick_fraction())
        asked = getattr(error, "retry_after_seconds", None)
        after_seconds = max(after_seconds, asked or 0.0)
        where, unforeseen = "/".join(key), not isinstance(error, ModelOperatorError)
        _log.warning("%s: failure %d, again in %.0f s: %s", where, failures, after_seconds, error, exc_info=unforeseen)
        # What was added while it ran waits as well: an event does not mend the cause.
        self._due[key] = asyncio.get_running_loop().time() + after_seconds
