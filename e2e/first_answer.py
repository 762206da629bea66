"""The first answer of a server that is starting."""

import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

START_SECONDS = 60.0


def answers(url: str, timeout_seconds: float) -> bool:
    """Whether the URL answers 200 now."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_seconds) as response:  # noqa: S310 - loopback
            return bool(response.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


def wait_for_answer(process: subprocess.Popen[bytes], url: str, log: Path, body: bytes | None = None) -> bytes:
    """Ask until the URL answers 200; the last observation, or why the process ended, is in the failure text."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        observation: object
        try:
            with urllib.request.urlopen(url, body, timeout=10) as response:  # noqa: S310 - loopback
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            observation = error.code
            error.close()
        except (urllib.error.URLError, ConnectionError) as error:
            observation = error
        if process.poll() is not None:
            raise AssertionError(log.read_text())
        if time.monotonic() >= deadline:
            raise AssertionError(f"{url} after {START_SECONDS} s: {observation}; {log.read_text()}")
        time.sleep(0.05)
