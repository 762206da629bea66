"""What the demo needs before it can start a node: programs and images, built beside the local chain."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Self

from cluster.processes import ClusterError
from stages import say

ROOT = Path(__file__).resolve().parents[2]
IMAGE_TARGETS = ("operator", "server", "builder")
SECONDS_BETWEEN_REPORTS = 15
SECONDS_TO_END = 10


def end_by(end: Callable[..., None]) -> None:
    """Have SIGTERM, and the hang-up of a terminal that is not ignored (nohup), end the command in order by this."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


class Provisioning:
    """Builds programs and images in a thread of its own, as long as its block; each step's output goes to one log.

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
        self._step: subprocess.Popen[str] | None = None
        self._is_over = False
        self._starting = threading.Lock()
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End what is still being built, with all that it started; nothing when all is built."""
        with self._starting:
            self._is_over = True
        if not self._thread.is_alive():
            return
        self._signal(signal.SIGTERM)
        self._thread.join(SECONDS_TO_END)
        self._signal(signal.SIGKILL)  # what did not mind it, and holds no pipe of ours
        self._thread.join(SECONDS_TO_END)

    def _signal(self, number: int) -> None:
        """To the step that runs, and to the processes of its session."""
        if self._step is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._step.pid, number)

    def _run(self) -> None:
        for name, arguments in self._steps:
            self._current = name
            begun = time.monotonic()
            with self.log.open("a") as log:
                step = self._start(arguments, log)
                if step is None:
                    return
                with step:
                    output, _ = step.communicate()
            if step.returncode != 0:
                self._problem = name
                return
            self._note_images(output)
            self.seconds[name] = time.monotonic() - begun

    def _start(self, arguments: Sequence[str], log: IO[str]) -> "subprocess.Popen[str] | None":
        """A step's process, in a session of its own, by which it is ended; None when no step is to begin any more."""
        with self._starting:
            if not self._is_over:
                self._step = subprocess.Popen(
                    [sys.executable, *arguments],
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": str(ROOT / "e2e")},
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                )
                return self._step
        return None

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
