"""How many predictions may wait: as many as are answered within seconds, and not a number that fits no model.

A number alone is wrong at both ends. Where an answer takes milliseconds, a machine that stood still for a second has
more waiting than any number that suits a slow model, and has answered them a moment later; where an answer takes a
second, those who are within that number wait for a minute.
"""

from collections import deque

ANSWERS = 100
"""So many of the last ones tell how long the next take; a batch ends many at a time, and several batches count."""


class Admission:
    """Learns how long each answer holds up those behind it. Used by a single thread."""

    def __init__(self, always: int, longest_seconds: float) -> None:
        """So many may wait whatever they take; beyond them, those that would be answered within this time."""
        self._always = always
        self._longest_seconds = longest_seconds
        self._held_up_seconds: deque[float] = deque(maxlen=ANSWERS)
        self._ended_seconds = 0.0

    def estimate_seconds(self, waiting: int) -> float | None:
        """When one that comes behind so many would be answered, in seconds from now; None before the first answer.

        The slowest of the last answers does not count: a standstill of the machine is over when it can be seen.
        """
        held_up = self._held_up_seconds
        if not held_up:
            return None
        slowest_seconds = max(held_up) if len(held_up) > 1 else 0.0
        return (waiting + 1) * (sum(held_up) - slowest_seconds) / max(1, len(held_up) - 1)

    def admits(self, waiting: int) -> bool:
        """Whether one more may wait behind so many."""
        if waiting < self._always:
            return True
        seconds = self.estimate_seconds(waiting)
        return seconds is not None and seconds <= self._longest_seconds

    def note_answer(self, arrived_seconds: float, ended_seconds: float) -> None:
        """One is answered: it held up others since it came, or since the answer before it where that was later.

        Several threads so seem faster together than one, as they are; alone, one of them seems as slow as it is.

        Args:
            arrived_seconds: when it came.
            ended_seconds: when it was answered, by the same clock.
        """
        self._held_up_seconds.append(max(0.0, ended_seconds - max(arrived_seconds, self._ended_seconds)))
        self._ended_seconds = ended_seconds
