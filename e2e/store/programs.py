"""versitygw, built from Go modules into a cache that is keyed by what it is built from."""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from cluster.places import cache_folder
from cluster.processes import ClusterError
from cluster.toolchain import GO_ENVIRONMENT, find_go
from images.errors import ImageError
from images.steps import Steps

from store.errors import StoreServerError

Tell = Callable[[str], None]

MODULE = Path(__file__).resolve().parent / "go"
PROGRAM = "versitygw"


def read_digest() -> str:
    """Eight hex digits that change with the version of versitygw and of all that it is built from."""
    return hashlib.sha256((MODULE / "go.mod").read_bytes() + (MODULE / "go.sum").read_bytes()).hexdigest()[:8]


def tell_on_stderr(message: str) -> None:
    """One line of progress."""
    print(message, file=sys.stderr, flush=True)


def build_server(tell: Tell) -> Path:
    """The program, built when it is not there.

    Raises:
        StoreServerError: when there is no Go, or the build fails.
    """
    target = cache_folder() / PROGRAM / read_digest()
    if (target / PROGRAM).exists():
        return target / PROGRAM
    half = target.with_name(f".{target.name}.{os.getpid()}")
    half.mkdir(parents=True, exist_ok=True)
    try:
        go = find_go(tell)
        tell("building versitygw from Go modules (about two minutes on 2 cores, once)")
        command: list[str | Path] = [go, "build", "-C", MODULE, "-o", f"{half}/", "-ldflags", "-s -w", "tool"]
        Steps(cache_folder() / PROGRAM / "logs", tell).run(PROGRAM, command, os.environ | GO_ENVIRONMENT)
        shutil.rmtree(target, ignore_errors=True)
        half.rename(target)
    except (ClusterError, ImageError) as error:
        raise StoreServerError(str(error)) from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return target / PROGRAM
