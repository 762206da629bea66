"""What the demo needs before it can start a node: programs and images, built beside the local chain."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from cluster.processes import ClusterError
from stages import say

ROOT = Path(__file__).resolve().parents[2]
IMAGE_TARGETS = ("operator", "server", "builder")
SECONDS_BETWEEN_REPORTS = 15


class Provisioning:
    """Builds programs and images in a thread of its own; each step's output goes to one log.

    Attributes:
        log: the file.
        seconds: how long each finished step took.
        images: what was built: the images' names by target.
    """

    def __init__(self, log: Path, targets: Sequence[str] = IMAGE_TARGETS) -> None:
        self.log = log
        self._steps = (
            ("cluster programs", ("-m", "cluster", "build")),
            ("images", ("-m", "images", *targets)),
            ("Prometheus image", ("-m", "monitoring")),
        )
        self.seconds: dict[str, float] = {}
        self.images: dict[str, str] = {}
        self._problem = ""
        self._current = ""
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for name, arguments in self._steps:
            self._current = name
            begun = time.monotonic()
            with self.log.open("a") as log:
                done = subprocess.run(
                    [sys.executable, *arguments],
                    check=False,
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": str(ROOT / "e2e")},
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            if done.returncode != 0:
                self._problem = name
                return
            self._note_images(done.stdout)
            self.seconds[name] = time.monotonic() - begun

    def _note_images(self, output: str) -> None:
        """Image names, a line each: `localhost/modelpress-operator:…`, `localhost/prometheus:…`."""
        for line in output.split():
            if line.startswith("localhost/"):
                target = line.removeprefix("localhost/").removeprefix("modelpress-").split(":")[0]
                self.images[target] = line

    def wait(self) -> None:
        """Return when all is built; says every few seconds what is being done.

        Raises:
            ClusterError: naming the step that failed, with its last words.
        """
        while self._thread.is_alive():
            self._thread.join(SECONDS_BETWEEN_REPORTS)
            if self._thread.is_alive():
                say(f"  … {self._current}: {self._last_line()}")
        if self._problem:
            raise ClusterError(f"{self._problem} could not be built: {self._last_line()} (all of it: {self.log})")

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "begun"
