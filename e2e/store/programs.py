"""versitygw, built from Go modules into a cache that is keyed by what it is built from."""

from pathlib import Path

from images.errors import ImageError
from images.go_module import GoModule
from images.steps import Tell

from store.errors import StoreServerError

PROGRAM = "versitygw"
MODULE = GoModule(PROGRAM, Path(__file__).resolve().parent / "go", (PROGRAM,), "about two minutes on 2 cores")


def build_server(tell: Tell) -> Path:
    """The program, built when it is not there.

    Raises:
        StoreServerError: when there is no Go, or the build fails.
    """
    try:
        return MODULE.build_program(tell)
    except ImageError as error:
        raise StoreServerError(str(error)) from error
