# ruff: noqa: S101 - part of the tests beside it
"""Operators that start in milliseconds: forked by a process that has imported all that they need."""

import contextlib
import json
import os
import select
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

from loopback import free_ports
from operator_play import PYTHON

END_SECONDS = 20.0


class Nursery:
    """`with Nursery(log) as nursery:` begins operators until the block ends. Safe to use from several threads."""

    def __init__(self, log: Path, source: Path | None = None) -> None:
        """Begin operators of this checkout, or of the tree `source`."""
        self._log = log
        self._lock = threading.Lock()
        parts = [source / part / "src" for part in ("operator", "model_artifact")] if source else []
        searched = {"PYTHONPATH": os.pathsep.join(map(str, parts))} if source else {}
        self._environment = {**os.environ, **searched}

    def __enter__(self) -> Self:
        """Start the process that imports."""
        program = Path(__file__).with_name("operator_nursery.py")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [PYTHON, "-W", "error", program],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        """End it; operators that run go on."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(END_SECONDS)

    def begin(self, environment: dict[str, str], log: Path) -> int:
        """Start an operator; its process id."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps({"environment": environment, "log": str(log)}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer, f"no operator can be started: {self._log.read_text()[-2000:]}"
        return int(answer)


class ForkedOperator:
    """`with ForkedOperator(nursery, kubeconfig, log, …) as operator:` runs it until the block ends.

    Attributes:
        begun: how many times it was started.
        pid: of the process that was started last.
    """

    def __init__(self, nursery: Nursery, kubeconfig: Path, log: Path, **settings: object) -> None:
        """Set it up as the environment variables `MODELPRESS_…` do."""
        self.health_port, self.metrics_port = free_ports(2)
        self.log = log
        self.begun = 0
        self._nursery = nursery
        self._handle: int | None = None
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MODELPRESS_")},
            "KUBECONFIG": str(kubeconfig),
            "MODELPRESS_HEALTH_PORT": str(self.health_port),
            "MODELPRESS_METRICS_PORT": str(self.metrics_port),
            **render_settings(settings),
        }

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, as Kubernetes would."""
        self.stop()

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._handle is not None and not _is_over(self._handle, 0)

    def start(self) -> None:
        """Start a process."""
        self.begun += 1
        self.pid = self._nursery.begin(self._environment, self.log)
        with contextlib.suppress(ProcessLookupError):
            self._handle = os.pidfd_open(self.pid)

    def replace_by(self, nursery: Nursery, **settings: object) -> None:
        """End it as Kubernetes would, and start one of that nursery in its place, with these settings changed."""
        self.stop()
        self._nursery = nursery
        self._environment |= render_settings(settings)
        self.start()

    def stop(self) -> float:
        """Ask it to end; how many seconds that took."""
        begun = time.monotonic()
        if not self._end(signal.SIGTERM):
            self.kill()
        return time.monotonic() - begun

    def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL)

    def words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def _end(self, how: signal.Signals) -> bool:
        """Whether the process is gone within the time that it is given."""
        if self._handle is None:
            return True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, how)
        gone = _is_over(self._handle, END_SECONDS)
        if gone:
            os.close(self._handle)
            self._handle = None
        return gone


def render_settings(settings: dict[str, object]) -> dict[str, str]:
    """The environment variables of these settings."""
    return {f"MODELPRESS_{name.upper()}": str(value) for name, value in settings.items()}


def _is_over(handle: int, seconds: float) -> bool:
    """Wait so long for the end of the process."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(1000 * seconds))
