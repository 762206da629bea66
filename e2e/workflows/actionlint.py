"""actionlint, built from Go modules into a cache that is keyed by what it is built from."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cluster.places import cache_folder
from images.go_module import GoModule
from images.steps import Steps

Tell = Callable[[str], None]

PROGRAM = "actionlint"
MODULE = GoModule(PROGRAM, Path(__file__).resolve().parent / "go", (PROGRAM,), "less than a minute")
# Programs that actionlint would ask where a machine has them: what it says must not depend on that.
NO_OTHERS = ("-shellcheck=", "-pyflakes=")


def tell_on_stderr(message: str) -> None:
    """One line of progress."""
    print(message, file=sys.stderr, flush=True)


def build_actionlint(tell: Tell) -> Path:
    """The program, built when it is not there.

    Raises:
        ImageError: when there is no Go, or the build fails.
    """
    cache = cache_folder() / PROGRAM
    return MODULE.build(cache, Steps(cache / "logs", tell)) / PROGRAM


def read_complaints(program: Path, workflow: str) -> str:
    """What actionlint says of a workflow's text, a line a complaint; empty when it has none."""
    command: list[str | Path] = [program, "-no-color", "-oneline", *NO_OTHERS, "-stdin-filename", "workflow.yaml", "-"]
    done = subprocess.run(command, input=workflow, check=False, capture_output=True, text=True)
    return done.stdout + done.stderr
