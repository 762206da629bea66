"""Lets a build end in good order when the process is asked to end: a training saves itself, and nothing begins anew."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from model_builder.errors import BuildInterruptedError


class Interruption:
    """Whether the process was asked to end, and whether a training still has something to save."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._settled = threading.Event()
        self._settled.set()
        self._signal = int(signal.SIGTERM)

    def ask(self, signal_number: int = signal.SIGTERM) -> None:
        """Ask for the end; safe from any thread and from a signal handler."""
        if not self._asked.is_set():
            self._signal = int(signal_number)
        self._asked.set()

    @property
    def asked(self) -> bool:
        """Whether the end was asked for."""
        return self._asked.is_set()

    @property
    def trains(self) -> bool:
        """Whether a training runs that saves itself when it ends."""
        return not self._settled.is_set()

    @property
    def exit_code(self) -> int:
        """Of a process that ends because of it: 143 for SIGTERM, 130 for Ctrl-C."""
        return 128 + self._signal

    def check(self, when: str, kept: str) -> None:
        """Go on only where the end was not asked for.

        Args:
            when: what is done just now or comes next: `before …` or `while …`.
            kept: what is there of the build, for the sentence.

        Raises:
            BuildInterruptedError: when it was.
        """
        if self.asked:
            raise BuildInterruptedError(f"the build ended on request {when}; {kept}", self.exit_code)

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


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """While it is open, SIGTERM and the first Ctrl-C ask for the end. Open it in the main thread."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    interruption = Interruption()
    signal.signal(signal.SIGTERM, lambda number, _frame: interruption.ask(number))
    signal.signal(signal.SIGINT, partial(_ask_once, interruption))
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ask_once(interruption: Interruption, number: int, _frame: object) -> None:
    interruption.ask(number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    doing = "saving the training" if interruption.trains else "ending after what is done just now"
    print(f"{doing}; Ctrl-C again ends at once", file=sys.stderr, flush=True)
