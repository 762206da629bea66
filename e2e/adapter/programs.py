"""prometheus-adapter, built from Go modules into a cache that is keyed by what it is built from."""

import sys
from collections.abc import Callable
from pathlib import Path

from cluster.places import cache_folder
from images.go_module import GoModule
from images.steps import Steps

Tell = Callable[[str], None]

# As its module names it.
PROGRAM = "adapter"
MODULE = GoModule("prometheus-adapter", Path(__file__).resolve().parent / "go", (PROGRAM,), "some minutes on 2 cores")


def tell_on_stderr(message: str) -> None:
    """One line of progress."""
    print(message, file=sys.stderr, flush=True)


def build_adapter(tell: Tell) -> Path:
    """The program, built when it is not there.

    Raises:
        ImageError: when there is no Go, or the build fails.
    """
    cache = cache_folder() / MODULE.name
    return MODULE.build(cache, Steps(cache / "logs", tell)) / PROGRAM
