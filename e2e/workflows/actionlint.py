"""actionlint, built from Go modules into a cache that is keyed by what it is built from."""

import subprocess
from pathlib import Path

from images.go_module import GoModule

PROGRAM = "actionlint"
MODULE = GoModule(PROGRAM, Path(__file__).resolve().parent / "go", (PROGRAM,), "less than a minute")
# Programs that actionlint would ask where a machine has them: what it says must not depend on that.
NO_OTHERS = ("-shellcheck=", "-pyflakes=")


def read_complaints(program: Path, workflow: str) -> str:
    """What actionlint says of a workflow's text, a line a complaint; empty when it has none."""
    command: list[str | Path] = [program, "-no-color", "-oneline", *NO_OTHERS, "-stdin-filename", "workflow.yaml", "-"]
    done = subprocess.run(command, input=workflow, check=False, capture_output=True, text=True)
    return done.stdout + done.stderr
