"""Tries again what ended in an error, a few times, and tells of each; what always does is left out."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from cluster.processes import ClusterError

from load.generating import GeneratorError
from load.samples import SamplesError

MOST_TRIES = 3
MOST_LEFT_OUT_IN_A_ROW = 3
"""After so many, one behind the other, nothing is to be had here, and the last error ends all of it."""

Outcome = TypeVar("Outcome")


class Told(Protocol):
    """Takes what was tried, how it ended, and whether it is tried again."""

    def __call__(self, of: str, error: str, *, again: bool) -> None:
        """Note it."""


@dataclass
class Tries:
    """What was tried.

    Attributes:
        note: is given each error.
        tell: is given each line of progress.
        pause_seconds: between two tries.
        left_out: what ended in an error each time.
    """

    note: Told
    tell: Callable[[str], None]
    pause_seconds: float
    left_out: list[str] = field(default_factory=list)
    _in_a_row: int = 0

    def attempt(self, of: str, do: Callable[[], Outcome]) -> Outcome | None:
        """What it gives; None where it ended in an error each time.

        Args:
            of: what it is.
            do: the thing itself.

        Raises:
            ClusterError: the last error, when what was tried before was left out as well.
            GeneratorError: likewise.
            SamplesError: likewise.
        """
        for number in range(1, MOST_TRIES + 1):
            try:
                found = do()
            except (ClusterError, GeneratorError, SamplesError) as error:
                again = number < MOST_TRIES
                self.note(of, str(error), again=again)
                self.tell(f"{of}: try {number} of {MOST_TRIES}: {error}")
                if again:
                    time.sleep(self.pause_seconds)
                else:
                    self._leave_out(of, error)
            else:
                self._in_a_row = 0
                return found
        return None

    def _leave_out(self, of: str, error: Exception) -> None:
        self.left_out.append(of)
        self._in_a_row += 1
        if self._in_a_row >= MOST_LEFT_OUT_IN_A_ROW:
            raise error
