"""Events that the API server did not take: kept until it does, for an hour at most."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from model_operator.errors import ClusterError, RefusedError
from model_operator.kube import Kube
from model_operator.observation import Object

MOST_UNTOLD: Final = 1000
"""Events that are kept until the API server takes them, some MiB at most; the oldest ones give way."""
UNTOLD_SECONDS: Final = 3600.0
"""Kubernetes itself forgets an Event after so long."""
FIRST_PAUSE_SECONDS: Final = 2.0
LONGEST_PAUSE_SECONDS: Final = 30.0
LONGEST_REFUSED_PAUSE_SECONDS: Final = 300.0
"""Where a right is missing, which asking again does not bring."""

_log = logging.getLogger(__name__)


class _Kept(NamedTuple):
    event: Object
    since: float


class _Pause(NamedTuple):
    until: float
    seconds: float


class Untold:
    """Events that the API server has not taken yet: kept in memory, and told when their model is looked at again.

    A namespace in which one was not taken is left alone for a while, and ever longer, so that a right that is missing
    costs next to nothing. Safe to use from several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is untold yet."""
        self._clock = clock
        self._lock = threading.Lock()
        # By uid of the model and name of the Event, the oldest first.
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._pauses: dict[str, _Pause] = {}

    def __len__(self) -> int:
        """Events that are kept."""
        return len(self._kept)

    def tell(self, kube: Kube, namespace: str, uid: str, events: Sequence[Object]) -> None:
        """Create these Events, and before them those of the same model that are kept; what is not taken is kept.

        One that is there already was told. One that the API server finds invalid would never be taken, and is dropped.
        """
        for event in self._join(namespace, uid, events):
            try:
                kube.create(namespace, event)
            except (ClusterError, RefusedError) as error:
                if not isinstance(error, RefusedError) or not error.invalid:
                    self._pause(namespace, error)
                    return
                _log.warning("%s: an Event is not taken, and not told: %s", namespace, error)
            with self._lock:
                self._pauses.pop(namespace, None)
                self._kept.pop((uid, event["metadata"]["name"]), None)

    def _join(self, namespace: str, uid: str, events: Sequence[Object]) -> Sequence[Object]:
        """Keep these as well; all that may be told now of that model."""
        with self._lock:
            now = self._clock()
            for event in events:
                key = uid, event["metadata"]["name"]
                # Of one that is told anew the first telling has the right time.
                self._kept[key] = _Kept(self._kept.pop(key, _Kept(event, now)).event, now)
            while self._kept and (
                len(self._kept) > MOST_UNTOLD or now - next(iter(self._kept.values())).since > UNTOLD_SECONDS
            ):
                self._kept.popitem(last=False)
            pause = self._pauses.get(namespace)
            if pause is not None and now < pause.until:
                return ()
            return [kept.event for (owner, _), kept in self._kept.items() if owner == uid]

    def _pause(self, namespace: str, error: ClusterError | RefusedError) -> None:
        with self._lock:
            now = self._clock()
            self._pauses = {name: each for name, each in self._pauses.items() if now < each.until + UNTOLD_SECONDS}
            before = self._pauses.get(namespace)
            longest = LONGEST_REFUSED_PAUSE_SECONDS if isinstance(error, RefusedError) else LONGEST_PAUSE_SECONDS
            seconds = min(2 * before.seconds, longest) if before is not None else FIRST_PAUSE_SECONDS
            asked = getattr(error, "retry_after_seconds", None) or 0.0
            self._pauses[namespace] = _Pause(now + max(seconds, asked), seconds)
        _log.warning("%s: Events are not taken, and tried again in %.0f s: %s", namespace, max(seconds, asked), error)
