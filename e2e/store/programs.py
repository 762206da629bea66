"""versitygw, built from Go modules into a cache that is keyed by what it is built from."""

import sys
from collections.abc import Callable
from pathlib import Path

from cluster.places import cache_folder
from images.errors import ImageError
from images.go_module import GoModule
from images.steps import Steps

from store.errors import StoreServerError

Tell = Callable[[str], None]

PROGRAM = "versitygw"
MODULE = GoModule(PROGRAM, Path(__file__).resolve().parent / "go", (PROGRAM,), "about two minutes on 2 cores")


def tell_on_stderr(message: str) -> None:
    """One line of progress."""
    print(message, file=sys.stderr, flush=True)


def build_server(tell: Tell) -> Path:
    """The program, built when it is not there.

    Raises:
        StoreServerError: when there is no Go, or the build fails.
    """
    cache = cache_folder() / PROGRAM
    try:
        return MODULE.build(cache, Steps(cache / "logs", tell)) / PROGRAM
    except ImageError as error:
        raise StoreServerError(str(error)) from error
