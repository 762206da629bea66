"""Which changes the watch has not told of yet, and for how long. Pure memory.

A write of ours and a version that a metadata list shows must come back through the watch. One that has not after
OVERDUE_SECONDS says that the watch is dead: streams can stall without an error.
"""

import threading
from collections.abc import Callable
from typing import Final, NamedTuple

ObjectKey = tuple[str, str, str]
"""Kind, namespace and name."""

OVERDUE_SECONDS: Final = 30.0


class _Expected(NamedTuple):
    version: int
    since: float


class WatchLag:
    """What is expected of the watch. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Expect nothing yet."""
        self._clock = clock
        self._lock = threading.Lock()
        self._expected: dict[ObjectKey, _Expected] = {}
        self._events: dict[str, int] = {}
        self._last_event: dict[str, float] = {}

    def expect(self, key: ObjectKey, version: int) -> None:
        """The watch must tell of the object in this version or a later one; what was expected before goes on."""
        with self._lock:
            self._expected.setdefault(key, _Expected(version, self._clock()))

    def note_event(self, kind: str) -> None:
        """The watch told of an object of the kind."""
        with self._lock:
            self._events[kind] = self._events.get(kind, 0) + 1
            self._last_event[kind] = self._clock()

    def note_told(self, key: ObjectKey, version: int) -> None:
        """The watch told of the object in this version."""
        with self._lock:
            expected = self._expected.get(key)
            if expected is not None and expected.version <= version:
                del self._expected[key]

    def forget_unlisted(self, kind: str, scope: str, names_listed: set[tuple[str, str]], version: int) -> None:
        """Expect nothing more of objects that a list of this version no longer had."""
        with self._lock:
            for key in [each for each in self._expected if each[0] == kind and each[1:] not in names_listed]:
                if (not scope or key[1] == scope) and self._expected[key].version <= version:
                    del self._expected[key]

    def age_seconds(self, kind: str) -> float:
        """How long the oldest change of the kind has not been told of; 0 where all are."""
        with self._lock:
            since = [each.since for key, each in self._expected.items() if key[0] == kind]
            return self._clock() - min(since) if since else 0.0

    def events(self) -> dict[str, int]:
        """Events so far, by kind."""
        with self._lock:
            return dict(self._events)

    def silent_seconds(self) -> dict[str, float]:
        """How long ago the watch last told of anything, by kind; nothing of a kind that it has never told of."""
        with self._lock:
            return {kind: self._clock() - at for kind, at in self._last_event.items()}

    def seconds_to_overdue(self) -> float | None:
        """When the oldest expectation will be, or was, overdue; None where there is none."""
        with self._lock:
            since = [each.since for each in self._expected.values()]
            return min(since) + OVERDUE_SECONDS - self._clock() if since else None

    def find_problem(self) -> str:
        """What the watch should have told by now; empty when it has told all."""
        with self._lock:
            now = self._clock()
            overdue = [(each.since, key) for key, each in self._expected.items() if now - each.since >= OVERDUE_SECONDS]
        if not overdue:
            return ""
        since, (kind, namespace, name) = min(overdue)
        others = f" and {len(overdue) - 1} more" if len(overdue) > 1 else ""
        return f"the watch has not told of {kind} {namespace}/{name}{others} for {now - since:.0f} s"
