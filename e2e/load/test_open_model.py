"""The generator sends on time, whatever the server does, and counts what users would have waited."""

import asyncio
import http.server
import time
from itertools import pairwise

import pytest
from loopback import serve_on_loopback

from load.open_model import Target, plan_arrivals, run

STALL_SECONDS = 1.0


class _Stalling(http.server.BaseHTTPRequestHandler):
    """Answers at once, but for one second after the first request, when all wait."""

    free_at = None

    def do_POST(self):
        server = type(self)
        if server.free_at is None:
            server.free_at = time.monotonic() + STALL_SECONDS
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(max(0.0, server.free_at - time.monotonic()))
        self.send_response(503 if self.path == "/fail" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Nothing on the test's output."""


@pytest.fixture
def url():
    _Stalling.free_at = None
    with serve_on_loopback(_Stalling) as address:
        yield address


def test_arrivals_are_a_poisson_process_of_the_rate_and_the_same_for_the_same_seed():
    moments = list(plan_arrivals(50, 200, seed=3))
    assert moments == list(plan_arrivals(50, 200, seed=3))
    assert moments != list(plan_arrivals(50, 200, seed=4))
    assert len(moments) == pytest.approx(10_000, rel=0.05)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert variance == pytest.approx(mean**2, rel=0.15)


def test_a_stall_of_the_server_is_in_the_latency_of_every_request_that_was_due_then(url):
    target = Target("stalled", f"{url}/", b"{}", rate=40)
    asyncio.run(run([target], 2.0))
    due = list(plan_arrivals(40, 2.0, seed=0))
    waited = [moment for moment in due if moment < STALL_SECONDS]
    assert len(target.milliseconds) == len(due)
    slow = [each for each in target.milliseconds if each > 200]
    # a generator that waits for answers would have sent one request into the stall; this one sent them all
    assert len(slow) >= len([moment for moment in waited if moment < STALL_SECONDS - 0.3]) > 10
    # how much longer than the stall the slowest took is a matter of the machine
    assert max(target.milliseconds) > 700 * STALL_SECONDS


def test_answers_that_are_no_200_are_failures_with_their_status(url):
    target = Target("refused", f"{url}/fail", b"{}", rate=20)
    asyncio.run(run([target], 0.5))
    due = len(list(plan_arrivals(20, 0.5, seed=0)))
    assert target.failures == {"HTTP 503": due}
    assert target.summary() == {"name": "refused", "ok": 0, "failures": {"HTTP 503": due}}
