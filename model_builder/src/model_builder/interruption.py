"""Lets a training end in good order when the process is asked to end: it saves itself at the next step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interruption:
    """Whether the process was asked to end, and whether a training still has something to save."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._settled = threading.Event()
        self._settled.set()

    def ask(self) -> None:
        """Ask for the end; safe from any thread and from a signal handler."""
        self._asked.set()

    @property
    def asked(self) -> bool:
        """Whether the end was asked for."""
        return self._asked.is_set()

    @contextmanager
    def training(self) -> Iterator[None]:
        """While a training runs that looks at `asked` and saves itself."""
        self._settled.clear()
        try:
            yield
        finally:
            self._settled.set()

    def wait_until_saved(self, timeout_seconds: float) -> bool:
        """Whether no training has anything to save, or none had after that time at most."""
        return self._settled.wait(timeout_seconds)


def interrupt_on_sigterm() -> Interruption:
    """From now on SIGTERM asks the training to end. Call it from the main thread."""
    interruption = Interruption()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: interruption.ask())
    return interruption
