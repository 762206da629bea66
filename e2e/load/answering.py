"""`python -m load.answering`: asks models, one line of JSON on stdin each, from where their addresses lead.

A line names `url`, `body` (a file) and `seconds`; the answer names `status` (0: none in time), `answeredUnix`, `tries`
and `error`. The program stays, so that what an interpreter takes to start is in no figure.
"""

import http.client
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TextIO

from cluster.processes import ClusterError

TIMEOUT_SECONDS = 30.0
OK = 200
_BETWEEN_SECONDS = 0.02


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        status: of HTTP; 0: nothing in time.
        answered_unix: when the answer was there.
        tries: how many requests were sent.
        error: the last one's, in words.
    """

    status: int
    answered_unix: float
    tries: int
    error: str = ""


def ask(url: str, body: bytes, seconds: float) -> Answer:
    """Ask until it answers 200, as long as that."""
    deadline = time.monotonic() + seconds
    tries = 0
    while True:
        tries += 1
        status, error = _ask_once(url, body)
        if status == OK or time.monotonic() > deadline:
            return Answer(status, time.time(), tries, error)
        time.sleep(_BETWEEN_SECONDS)


def _ask_once(url: str, body: bytes) -> tuple[int, str]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - of a cluster
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - likewise
            response.read()
            return int(response.status), ""
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, str(error)
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)


def serve(lines: TextIO, out: TextIO) -> None:
    """Answer each line by a line until there are no more."""
    for line in lines:
        asked = json.loads(line)
        answer = ask(asked["url"], Path(asked["body"]).read_bytes(), asked["seconds"])
        told = {"status": answer.status, "answeredUnix": answer.answered_unix}
        out.write(json.dumps({**told, "tries": answer.tries, "error": answer.error}) + "\n")
        out.flush()


class Asker:
    """The program, where the cluster's addresses lead; it ends with the block."""

    def __init__(self, enter: Sequence[str]) -> None:
        self._command = [*enter, sys.executable, "-m", "load.answering"]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.communicate()

    def ask(self, url: str, body: Path, seconds: float) -> Answer:
        """See `ask`.

        Raises:
            ClusterError: when the program has gone.
        """
        told = self._exchange({"url": url, "body": str(body.resolve()), "seconds": seconds})
        return Answer(told["status"], told["answeredUnix"], told["tries"], told["error"])

    def _exchange(self, asked: dict[str, Any]) -> Any:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ClusterError("the program that asks models does not run")
        try:
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError as error:
            raise ClusterError(f"the program that asks models has gone ({error})") from error
        if not line:
            raise ClusterError(f"the program that asks models has ended with {process.wait()}")
        return json.loads(line)


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
