"""What was asked for lately, by key: bounded in number, and forgotten when nobody asks for it any more. Pure memory."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Values by key; one that nobody asked for in a while is dropped, and beyond the bound the one unused longest.

    Safe to use from several threads.
    """

    def __init__(self, idle_seconds: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep nothing yet.

        Args:
            idle_seconds: after so long without being asked for, a value is dropped.
            most: values that are kept.
            clock: in seconds.
        """
        self._idle_seconds = idle_seconds
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        # The one that was used last stands last.
        self._kept: OrderedDict[Key, tuple[float, Value]] = OrderedDict()

    def __len__(self) -> int:
        """Values that are kept."""
        return len(self._kept)

    def find(self, key: Key) -> Value | None:
        """The value, which counts as used now; None where none is kept."""
        with self._lock:
            self._drop_unused()
            found = self._kept.get(key)
            if found is None:
                return None
            self._use(key, found[1])
            return found[1]

    def keep(self, key: Key, value: Value) -> None:
        """Have this value for the key."""
        with self._lock:
            self._use(key, value)
            self._drop_unused()

    def drop(self, key: Key) -> None:
        """Have none for the key."""
        with self._lock:
            self._kept.pop(key, None)
            self._drop_unused()

    def _use(self, key: Key, value: Value) -> None:
        self._kept[key] = (self._clock(), value)
        self._kept.move_to_end(key)

    def _drop_unused(self) -> None:
        oldest = self._clock() - self._idle_seconds
        while self._kept and (len(self._kept) > self._most or next(iter(self._kept.values()))[0] < oldest):
            self._kept.popitem(last=False)
