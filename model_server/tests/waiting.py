"""Waiting for what other threads and processes do."""

import time

LONGEST_SECONDS = 30.0


def wait_until(predicate, timeout_seconds=LONGEST_SECONDS):
    """Poll until the predicate's answer is true; its last answer is in the failure text."""
    deadline = time.monotonic() + timeout_seconds
    while not (observation := predicate()):
        assert time.monotonic() < deadline, f"not within {timeout_seconds} s; last observation: {observation!r}"
        time.sleep(0.005)
    return observation
