"""The program that asks models: until they answer, and no longer than it was told."""

import http.server
import time

import pytest
from cluster.processes import ClusterError
from loopback import HOST, serve_on_loopback

from load.answering import Asker, ask


class Slow(http.server.BaseHTTPRequestHandler):
    """Answers 503 twice, and then what was sent."""

    asked = 0

    def do_POST(self):
        """Refuse the first two."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked += 1
        self.send_response(200 if self.asked > 2 else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing is logged."""


@pytest.fixture
def url():
    """Of a server of the test's own."""
    handler = type("Own", (Slow,), {})
    with serve_on_loopback(handler) as address:
        yield f"{address}/"


def test_a_model_is_asked_until_it_answers(url, tmp_path):
    (tmp_path / "body").write_bytes(b"{}")
    before = time.time()
    with Asker(()) as asker:
        first = asker.ask(url, tmp_path / "body", 20)
        again = asker.ask(url, tmp_path / "body", 20)
    assert (first.status, first.tries, again.status, again.tries) == (200, 3, 200, 1)
    assert before < first.answered_unix < again.answered_unix < time.time()


def test_what_does_not_answer_is_asked_no_longer_than_it_was_told(url):
    refused = ask(url, b"{}", 0)
    assert (refused.status, refused.tries) == (503, 1)
    assert "503" in refused.error
    gone = ask(f"http://{HOST}:9/", b"{}", 0.1)
    assert gone.status == 0
    assert gone.tries > 1
    assert "refused" in gone.error


def test_a_program_that_has_gone_is_told(tmp_path):
    (tmp_path / "body").write_bytes(b"{}")
    with Asker(()) as asker:
        asker._process.kill()
        asker._process.wait()
        with pytest.raises(ClusterError, match="the program that asks models has"):
            asker.ask(f"http://{HOST}:9/", tmp_path / "body", 1)
