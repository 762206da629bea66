"""Runs Prometheus as a process on 127.0.0.1 and asks it questions."""

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopback import HOST, free_ports

from monitoring.errors import MonitoringError

READY_SECONDS = 30
_STOP_SECONDS = 10


@dataclass(frozen=True)
class RunningPrometheus:
    """One that answers.

    Attributes:
        url: its base.
        log: where its output goes.
        opener: how it is asked.
    """

    url: str
    log: Path
    opener: urllib.request.OpenerDirector

    def read(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its HTTP interface."""
        query = urllib.parse.urlencode(parameters)
        with self.opener.open(f"{self.url}/api/v1/{path}?{query}", timeout=5) as answer:
            return json.load(answer)["data"]

    def read_series(self, selector: str) -> list[tuple[dict[str, str], float]]:
        """Labels and newest value of each series that the PromQL selector matches now."""
        result = self.read("query", query=selector)["result"]
        return [(each["metric"], float(each["value"][1])) for each in result]

    def wait_for_series(
        self, selector: str, is_enough: Callable[[list[tuple[dict[str, str], float]]], bool], seconds: float = 20
    ) -> list[tuple[dict[str, str], float]]:
        """Poll until what the selector matches is enough.

        Raises:
            MonitoringError: with what was matched last, and the targets.
        """
        deadline = time.monotonic() + seconds
        while not is_enough(found := self.read_series(selector)):
            if time.monotonic() > deadline:
                targets = self.read("targets")
                raise MonitoringError(f"after {seconds} s {selector} still gives {found!r}; targets: {targets}")
            time.sleep(0.1)
        return found


@contextmanager
def running_prometheus(
    program: Sequence[str | Path],
    config: Path,
    data: Path,
    web_config: Path | None = None,
    opener: urllib.request.OpenerDirector | None = None,
) -> Iterator[RunningPrometheus]:
    """Run it while the block runs; SIGTERM afterwards.

    Args:
        program: the start of the command line.
        config: its prometheus.yml.
        data: folder for its data and its log.
        web_config: its `--web.config.file`, by which it answers over TLS.
        opener: how it is to be asked then.

    Raises:
        MonitoringError: when it does not become ready; with its last words.
    """
    data.mkdir(parents=True, exist_ok=True)
    port, log = free_ports(1)[0], data / "prometheus.log"
    options = [f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address={HOST}:{port}"]
    options += [f"--web.config.file={web_config}"] if web_config is not None else []
    with log.open("wb") as out:
        process = subprocess.Popen([*program, *options], stdout=out, stderr=subprocess.STDOUT)
    scheme = "http" if web_config is None else "https"
    prometheus = RunningPrometheus(f"{scheme}://{HOST}:{port}", log, opener or urllib.request.build_opener())
    try:
        _wait_until_ready(prometheus, process)
        yield prometheus
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(prometheus: RunningPrometheus, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            with prometheus.opener.open(f"{prometheus.url}/-/ready", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                words = prometheus.log.read_text(errors="replace")[-1000:]
                raise MonitoringError(f"Prometheus is not ready ({error}): {words}") from error
        time.sleep(0.05)
