"""Counters and histograms in Prometheus' text format. Noting is cheap; adding up waits until somebody looks.

A request ends with cold caches, where every line of Python costs several times more than later, with many at once.
"""

import threading
from bisect import bisect_left
from collections import deque

from typing_extensions import override

Labels = tuple[str, ...]

# As many notes wait at most; then the next one adds them all up.
_MOST_NOTES = 512
# Sets of label values of one metric. Versions come and go; the oldest set is forgotten for a new one.
MOST_SETS = 1000


class _Noted:
    """Numbers with their label values, in the order in which they were noted."""

    def __init__(self, name: str, labels: Labels) -> None:
        self.name = name
        self._labels = labels
        self._lock = threading.Lock()
        self._notes: deque[tuple[Labels, float]] = deque()

    def _note(self, values: Labels, number: float) -> None:
        self._notes.append((values, number))
        if len(self._notes) > _MOST_NOTES:
            with self._lock:
                self._settle()

    def settle(self) -> None:
        """Add up what was noted."""
        with self._lock:
            self._settle()

    def _settle(self) -> None:
        """Add up what was noted; the lock is held."""
        while self._notes:
            self._add(*self._notes.popleft())

    def _add(self, values: Labels, number: float) -> None:
        raise NotImplementedError

    def _format_labels(self, values: Labels) -> str:
        return ",".join(f'{name}="{_escape(value)}"' for name, value in zip(self._labels, values, strict=True))


class Counter(_Noted):
    """A number that only grows, for each set of label values."""

    kind = "counter"

    def __init__(self, name: str, labels: Labels) -> None:
        super().__init__(name, labels)
        self._values: dict[Labels, int] = {}

    def increment(self, *values: str, by: int = 1) -> None:
        """Count so many more."""
        self._note(values, by)

    @override
    def _add(self, values: Labels, number: float) -> None:
        if values not in self._values and len(self._values) >= MOST_SETS:
            del self._values[next(iter(self._values))]
        self._values[values] = self._values.get(values, 0) + int(number)

    def format_samples(self) -> list[str]:
        """One line for each set of label values."""
        with self._lock:
            self._settle()
            samples = sorted(self._values.items())
        return [f"{self.name}{{{self._format_labels(values)}}} {count}" for values, count in samples]


class Histogram(_Noted):
    """Counts of observations up to each edge, their sum and their number, for each set of label values."""

    kind = "histogram"

    def __init__(self, name: str, labels: Labels, edges: tuple[float, ...]) -> None:
        super().__init__(name, labels)
        self._edges = edges
        self._printed_edges = (*(f"{edge:.6g}" for edge in edges), "+Inf")
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, value: float, *values: str) -> None:
        """Add one observation, in the unit of the edges."""
        self._note(values, value)

    @override
    def _add(self, values: Labels, number: float) -> None:
        counts = self._counts.get(values)
        if counts is None:
            if len(self._counts) >= MOST_SETS:
                oldest = next(iter(self._counts))
                del self._counts[oldest], self._sums[oldest]
            counts = self._counts[values] = [0] * len(self._printed_edges)
            self._sums[values] = 0.0
        counts[bisect_left(self._edges, number)] += 1
        self._sums[values] += number

    def format_samples(self) -> list[str]:
        """The bucket, sum and count lines for each set of label values."""
        with self._lock:
            self._settle()
            samples = sorted((values, list(counts), self._sums[values]) for values, counts in self._counts.items())
        lines: list[str] = []
        for values, counts, total in samples:
            labels = self._format_labels(values)
            reached = 0
            for edge, count in zip(self._printed_edges, counts, strict=True):
                reached += count
                lines.append(f'{self.name}_bucket{{{labels},le="{edge}"}} {reached}')
            lines.append(f"{self.name}_sum{{{labels}}} {total!r}")
            lines.append(f"{self.name}_count{{{labels}}} {reached}")
        return lines


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
