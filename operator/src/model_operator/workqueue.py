"""Which model is looked at when: one queue, each key once, never the same key twice at a time.

Keys come again after the time that the work names, sooner when they are added, and after an error later and later. It
runs in one event loop and is used from there only.
"""

import asyncio
import heapq
import logging
import random
from collections.abc import Awaitable, Callable, Container

from model_operator.errors import ModelOperatorError

Key = tuple[str, str]
"""Namespace and name."""
Work = Callable[[Key], Awaitable[float | None]]
"""Does one pass and says after how many seconds the key comes again; None when it is gone for good."""

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 300.0
_LONGEST_PAUSE_SECONDS = 1.0
_STARTS_FOR_ONE_ROUND = 4

_log = logging.getLogger(__name__)


def plan_backoff_seconds(failures: int, fraction: float) -> float:
    """How long to wait after so many failures in a row.

    Args:
        failures: at least 1.
        fraction: 0 to 1, at random; takes off up to a half, so that what failed together does not come together.
    """
    whole = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 30))
    return whole * (1 - fraction / 2)


class _Line:
    """Keys and when they are due.

    `due` says what holds; the heap has every time that was ever asked for, and those that hold no more are passed over.
    """

    def __init__(self) -> None:
        self.due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []

    def put(self, key: Key, due: float) -> None:
        """Have the key due then, and no more when it was before."""
        if self.due.get(key) != due:
            self.due[key] = due
            heapq.heappush(self._heap, (due, key))

    def rejoin(self, key: Key) -> None:
        """Have a key that was taken out while it ran come again."""
        if key in self.due:
            heapq.heappush(self._heap, (self.due[key], key))

    def take(self, now: float, running: Container[Key]) -> Key | None:
        """The key that has been due longest; one that runs is left out until it rejoins."""
        while self._heap and self._heap[0][0] <= now:
            when, key = heapq.heappop(self._heap)
            if self.due.get(key) == when and key not in running:
                return key
        return None

    def next_due(self) -> float | None:
        """When to look again; None when nothing is to come."""
        return self._heap[0][0] if self._heap else None


class WorkQueue:
    """Runs `work` for the keys that are due, at most `workers` at a time.

    What was added since something changed goes before what only comes round again, so that a change is acted on at once
    also where many keys come round; but of every few starts one is for those, so that they are not forgotten.

    Attributes:
        turned_at: when the loop last went round, in the event loop's time; None before it began.
    """

    def __init__(self, work: Work, workers: int, pick_fraction: Callable[[], float] = random.random) -> None:
        self._work = work
        self._workers = workers
        self._pick_fraction = pick_fraction
        self._changes, self._rounds = _Line(), _Line()
        self._starts = 0
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._failures: dict[Key, int] = {}
        # Until when the API server asked to be left alone with the key; not even a change is acted on before.
        self._held: dict[Key, float] = {}
        self._changed = asyncio.Event()
        self._stopping = False
        self.turned_at: float | None = None

    @property
    def depth(self) -> int:
        """Keys that are due and wait for a worker."""
        return len(self._waits())

    @property
    def age_seconds(self) -> float:
        """How long the one of them that waits longest has been due; 0 where none waits."""
        return max(self._waits().values(), default=0.0)

    def _waits(self) -> dict[Key, float]:
        """How long each has been due; also from other threads."""
        now, running = self.turned_at or 0.0, set(self._running)
        due = [*list(self._changes.due.items()), *list(self._rounds.due.items())]
        waits: dict[Key, float] = {}
        for key, when in due:
            if when <= now and key not in running:
                waits[key] = max(now - when, waits.get(key, 0.0))
        return waits

    def add(self, key: Key, after_seconds: float = 0.0, *, changed: bool = True) -> None:
        """Have the key worked on after this long at the latest; while it runs, once more after that.

        Args:
            key: to be worked on.
            after_seconds: from now; longer where a server has asked to be left alone with it for longer.
            changed: whether something has changed; if not, it only comes round again.
        """
        line = self._changes if changed else self._rounds
        due = max(asyncio.get_running_loop().time() + after_seconds, self._held.get(key, 0.0))
        line.put(key, min(due, line.due.get(key, due)))
        self._changed.set()

    async def run(self) -> None:
        """Work until `stop` is called, and then until what runs has ended."""
        loop = asyncio.get_running_loop()
        while not self._stopping:
            self._changed.clear()
            now = self.turned_at = loop.time()
            while (key := self._take(now)) is not None:
                self._running[key] = asyncio.create_task(self._run_one(key), name=f"reconcile {'/'.join(key)}")
            await self._pause(now)
        if self._running:
            await asyncio.wait(self._running.values())

    def stop(self) -> None:
        """Start nothing more."""
        self._stopping = True
        self._changed.set()

    def _take(self, now: float) -> Key | None:
        """The key to start now; None where none is due or no worker is free."""
        if len(self._running) >= self._workers:
            return None
        lines = (self._changes, self._rounds)
        for line in lines if self._starts % _STARTS_FOR_ONE_ROUND else reversed(lines):
            key = line.take(now, self._running)
            if key is not None:
                self._starts += 1
                self._changes.due.pop(key, None)
                self._rounds.due.pop(key, None)
                return key
        return None

    async def _pause(self, now: float) -> None:
        """Wait for a change or for the next key, but never so long that the loop seems to have stopped."""
        coming = [due - now for line in (self._changes, self._rounds) if (due := line.next_due()) is not None]
        seconds = min([_LONGEST_PAUSE_SECONDS, *(each for each in coming if each > 0)])
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    async def _run_one(self, key: Key) -> None:
        try:
            after_seconds = await self._work(key)
        except Exception as error:  # noqa: BLE001 - whatever it is, this key comes again and the others go on
            self._back_off(key, error)
        else:
            self._failures.pop(key, None)
            self._held.pop(key, None)
            if after_seconds is not None:
                self.add(key, after_seconds, changed=False)
        finally:
            del self._running[key]
            self._changes.rejoin(key)
            self._rounds.rejoin(key)
            self._changed.set()

    def _back_off(self, key: Key, error: Exception) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        after_seconds = plan_backoff_seconds(failures, self._pick_fraction())
        asked_seconds = getattr(error, "retry_after_seconds", None) or 0.0
        after_seconds = max(after_seconds, asked_seconds)
        where, unforeseen = "/".join(key), not isinstance(error, ModelOperatorError)
        _log.warning("%s: failure %d, again in %.0f s: %s", where, failures, after_seconds, error, exc_info=unforeseen)
        # What was added while it ran waits as well: an event does not mend the cause.
        self._changes.due.pop(key, None)
        now = asyncio.get_running_loop().time()
        self._held[key] = now + asked_seconds
        self._rounds.put(key, now + after_seconds)
