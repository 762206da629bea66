"""What a long command says while it runs, and how long its stages took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

_begun = time.monotonic()


def say(message: str) -> None:
    """One line of progress with the time since the start."""
    seconds = int(time.monotonic() - _begun)
    print(f"[{seconds // 60}:{seconds % 60:02}] {message}", flush=True)


@contextmanager
def timed(stages: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds of a step to its stage."""
    begun = time.monotonic()
    try:
        yield
    finally:
        stages[name] = stages.get(name, 0.0) + time.monotonic() - begun


def format_stages(stages: dict[str, float]) -> str:
    """All stages with their seconds, in one line."""
    return ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in stages.items())
