"""Writes that the API server refused: asked again ever more seldom, and at once where something about them changed.

What is kept is lost with the process and costs one more request for each then. It is in memory and not in the status
because it goes by what was asked and what stood there, of which a status says nothing.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple

from model_operator.observation import Object
from model_operator.planning.decision import Refusal
from model_operator.planning.drift import hash_object
from model_operator.recent import Recent

FIRST_PAUSE_SECONDS: Final = 10.0
LONGEST_PAUSE_SECONDS: Final = 300.0
IDLE_SECONDS: Final = 2 * LONGEST_PAUSE_SECONDS
"""What no pass asked for in this long is not wanted any more, or its model is gone."""
MOST_REFUSED: Final = 10_000

_UNTOLD = ("status",)
_OF_EVERY_WRITE = ("resourceVersion", "managedFields", "selfLink")


class Asked(NamedTuple):
    """One write of one model."""

    uid: str
    """Of the model."""
    verb: str
    kind: str
    name: str


class _Kept(NamedTuple):
    fingerprint: str
    refusal: Refusal
    pause_seconds: float
    until: float


class Refused:
    """The writes that were refused, each until it is taken or asked for no more. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing was refused yet."""
        self._clock = clock
        self._kept = Recent[Asked, _Kept](IDLE_SECONDS, MOST_REFUSED, clock)

    def __len__(self) -> int:
        """Writes that were refused."""
        return len(self._kept)

    def find(self, asked: Asked, read_fingerprint: Callable[[], str]) -> Refusal | None:
        """The refusal that the same write would meet again; None where it is to be tried.

        Args:
            asked: the write.
            read_fingerprint: of what it is about (`hash_write`); not called where it was not refused.
        """
        kept = self._kept.find(asked)
        if kept is None or self._clock() >= kept.until or read_fingerprint() != kept.fingerprint:
            return None
        return replace(kept.refusal, again_in_seconds=kept.until - self._clock())

    def keep(self, asked: Asked, fingerprint: str, refusal: Refusal) -> Refusal:
        """Hold the write back, twice as long as before where it is the same; the refusal says how long."""
        before = self._kept.find(asked)
        same = before is not None and before.fingerprint == fingerprint
        pause = min(2 * before.pause_seconds, LONGEST_PAUSE_SECONDS) if before and same else FIRST_PAUSE_SECONDS
        self._kept.keep(asked, _Kept(fingerprint, refusal, pause, self._clock() + pause))
        return replace(refusal, again_in_seconds=pause)

    def drop(self, asked: Asked) -> None:
        """The write was taken."""
        self._kept.drop(asked)


def hash_write(wanted: Any, spec: Any, live: Object | None) -> str:
    """Changes with what is asked for, with the model's spec, and with what stands there but for its status."""
    if live is None:
        return hash_object([wanted, spec])
    metadata = {key: value for key, value in live["metadata"].items() if key not in _OF_EVERY_WRITE}
    stands = {key: value for key, value in live.items() if key not in _UNTOLD} | {"metadata": metadata}
    return hash_object([wanted, spec, stands])
