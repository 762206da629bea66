"""Tells how far a download is, and ends it when the process is asked to end."""

import sys
import time

from model_artifact.summary import BuildProgress
from model_builder.interruption import Interruption
from model_builder.progress import DOWNLOADING, Progress

SECONDS_BETWEEN_REPORTS = 5.0
SECONDS_ON_A_TERMINAL = 0.5
"""Where a line replaces the one before."""


class Download:
    """One download: how much is there, told every few seconds and at its end."""

    def __init__(self, name: str, size_bytes: int, progress: Progress, asked: Interruption | None = None) -> None:
        self.received_bytes = 0
        self._name, self._size_bytes, self._progress, self._asked = name, size_bytes, progress, asked
        self._begun = self._reported = time.monotonic()
        self._seconds_between = SECONDS_ON_A_TERMINAL if sys.stderr.isatty() else SECONDS_BETWEEN_REPORTS

    def count(self, read_bytes: int) -> None:
        """So many bytes more are there.

        Raises:
            BuildInterruptedError: when the process was asked to end.
        """
        self.received_bytes += read_bytes
        if self._asked is not None:
            self._asked.check(f"while {self._name} was downloaded", "nothing of the download is kept")
        now = time.monotonic()
        if now - self._reported >= self._seconds_between or self.received_bytes == self._size_bytes:
            self._reported = now
            self._progress(BuildProgress(phase="Loading", message=self._format(now - self._begun)))

    def _format(self, seconds: float) -> str:
        percent = int(100 * self.received_bytes / max(self._size_bytes, 1))
        sizes = f"{self.received_bytes / 1e6:.0f} of {self._size_bytes / 1e6:.0f} MB"
        rate = self.received_bytes / 1e6 / max(seconds, 1e-3)
        return f"{DOWNLOADING}{self._name}: {percent} %, {sizes}, {rate:.1f} MB/s"
