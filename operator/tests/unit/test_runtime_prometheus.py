import base64
import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from model_operator.errors import PrometheusError
from model_operator.prometheus import Access, ApiPrometheus


@pytest.fixture
def server():
    """A server whose one answer a test sets: `status`, `answer`, and the pause after every ten bytes of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            self.server.headers_seen.append(self.headers)
            data = self.server.answer.encode()
            self.server.hurry.wait(self.server.late_seconds)
            self.send_response(self.server.status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                if self.server.pause_seconds:
                    for place in range(0, len(data), 10):
                        self.wfile.write(data[place : place + 10])
                        self.server.hurry.wait(self.server.pause_seconds)
                else:
                    self.wfile.write(data)

        def log_message(self, *_):
            """Quiet."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    http.asked, http.headers_seen, http.status, http.answer, http.pause_seconds = [], [], 200, "", 0
    http.late_seconds, http.hurry = 0, threading.Event()
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield http
    http.hurry.set()
    http.shutdown()
    thread.join()
    http.server_close()


def vector(*samples):
    result = [{"metric": metric, "value": [1700000000.1, value]} for metric, value in samples]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


def connect(server, folder=None, **access):
    return ApiPrometheus(f"http://127.0.0.1:{server.server_port}/", timeout_seconds=2, access=Access(folder, **access))


def ask(server, query="up"):
    return connect(server).query(query)


def test_samples_come_with_their_labels(server):
    server.answer = vector(({"pod": "a"}, "1.5"), ({"pod": "b", "whole": "yes"}, "2e3"))
    found = ask(server, 'sum({a="b"})')
    assert found == [({"pod": "a"}, 1.5), ({"pod": "b", "whole": "yes"}, 2000.0)]
    assert server.asked == ["/api/v1/query?query=sum%28%7Ba%3D%22b%22%7D%29&timeout=2"]


def test_an_empty_answer_is_no_value(server):
    server.answer = vector()
    assert ask(server) == []


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e999"])
def test_what_is_not_finite_is_no_value(server, value):
    server.answer = vector(({}, value), ({"pod": "a"}, "1"))
    assert ask(server) == [({"pod": "a"}, 1.0)]


@pytest.mark.parametrize(
    "answer",
    [
        "<html>",
        "[]",
        '{"data": {"result": [{"metric": {}}]}}',
        '{"data": null}',
        '{"data": {"result": [1700000000.1, "3"]}}',
        '{"data": {"result": [{"metric": ["a"], "value": [0, "1"]}]}}',
        '{"data": {"result": [{"metric": {}, "value": [0, "many"]}]}}',
        "[" * 100_000,
        "\x00\xff",
    ],
)
def test_another_servers_answer_is_told(server, answer):
    server.answer = answer
    with pytest.raises(PrometheusError, match=r"the answer of http://127\.0\.0\.1:\d+ is not Prometheus'") as caught:
        ask(server)
    assert caught.value.of_one_query is False


@pytest.mark.parametrize(("status", "alone"), [(503, False), (302, False), (401, False), (400, True), (422, True)])
def test_a_refusal_is_told_once_and_not_asked_again(server, status, alone):
    server.status, server.answer = status, "not\n now"
    with pytest.raises(PrometheusError, match=rf"does not answer: HTTP {status}: not now$") as caught:
        ask(server)
    assert caught.value.of_one_query is alone
    assert len(server.asked) == 1


def test_prometheus_own_words_are_told(server):
    server.status, server.answer = 422, json.dumps({"status": "error", "errorType": "execution", "error": "too much"})
    with pytest.raises(PrometheusError, match=r"HTTP 422: too much$"):
        ask(server)


def test_a_prometheus_that_is_away_is_told():
    with pytest.raises(PrometheusError, match=r"Prometheus at http://127\.0\.0\.1:1 does not answer: .*refused"):
        ApiPrometheus("http://127.0.0.1:1", timeout_seconds=2).query("up")


def test_an_answer_that_only_trickles_in_is_given_up(server):
    server.answer, server.pause_seconds = vector(({}, "1")) * 1000, 0.1
    begun = time.monotonic()
    prometheus = ApiPrometheus(f"http://127.0.0.1:{server.server_port}", timeout_seconds=0.5)
    with pytest.raises(PrometheusError, match=r"needs more than 0\.5 s for its answer$") as caught:
        prometheus.query("up")
    assert time.monotonic() - begun < 30  # the whole would take 19 minutes
    assert caught.value.of_one_query is True


def test_an_answer_that_is_late_says_nothing_of_other_questions(server):
    server.answer, server.late_seconds = vector(), 5
    prometheus = ApiPrometheus(f"http://127.0.0.1:{server.server_port}", timeout_seconds=0.2)
    with pytest.raises(PrometheusError, match=r"does not answer: timed out$") as caught:
        prometheus.query("up")
    assert caught.value.of_one_query is True


def test_an_answer_without_end_is_given_up(server, monkeypatch):
    monkeypatch.setattr("model_operator.prometheus.MOST_ANSWER_BYTES", 1000)
    server.answer = vector(*[({"pod": f"p{number}"}, "1") for number in range(100)])
    with pytest.raises(PrometheusError, match="is longer than 1000 bytes") as caught:
        ask(server)
    assert caught.value.of_one_query is True
    server.answer = vector()
    assert ask(server) == []


def put(folder, files):
    for name, text in files.items():
        (folder / name).write_text(text)


def authorization(server, **access):
    server.answer = vector()
    connect(server, **access).query("up")
    return server.headers_seen[-1]["Authorization"]


def test_without_credentials_none_are_sent(server, tmp_path):
    assert authorization(server) is None
    assert authorization(server, folder=tmp_path) is None


def test_credentials_are_those_that_the_files_hold_at_the_time(server, tmp_path):
    put(tmp_path, {"username": "reader", "password": "pässword\n"})
    basic = base64.b64encode("reader:pässword".encode()).decode()
    prometheus = connect(server, tmp_path, insecure=True)
    server.answer = vector()
    prometheus.query("up")
    for name in ("username", "password"):
        (tmp_path / name).unlink()
    for token in ("one", "two\n"):
        put(tmp_path, {"token": token})
        prometheus.query("up")
    assert [each["Authorization"] for each in server.headers_seen] == [f"Basic {basic}", "Bearer one", "Bearer two"]


def test_credentials_are_not_sent_in_clear_unless_that_is_asked_for(server, tmp_path):
    put(tmp_path, {"token": "s3cret"})
    with pytest.raises(PrometheusError, match=r"are not sent to .* without TLS: use https, or allow it") as caught:
        connect(server, tmp_path).query("up")
    assert "s3cret" not in str(caught.value)
    assert server.asked == []


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"token": "s3cret", "password": "s3cret"}, "holds a token and a password"),
        ({"username": "reader"}, "needs a username without a colon, and a password"),
        ({"password": "s3cret"}, "needs a username without a colon, and a password"),
        ({"username": "a:b", "password": "s3cret"}, "needs a username without a colon, and a password"),
        ({"token": "s3cret\r\nHost: x"}, "is no bearer token"),
        ({"token": "s3crét"}, "is no bearer token"),
        ({"token": ""}, "is no bearer token"),
    ],
)
def test_credentials_that_cannot_be_sent_are_told_and_never_shown(server, tmp_path, files, words):
    put(tmp_path, files)
    with pytest.raises(PrometheusError, match=words) as caught:
        connect(server, tmp_path, insecure=True).query("up")
    assert "s3cr" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert server.asked == []


def test_a_file_that_is_no_text_is_told_and_never_shown(server, tmp_path):
    (tmp_path / "token").write_bytes(b"s3cret\xff")
    with pytest.raises(PrometheusError, match=r"token cannot be read: UnicodeDecodeError$") as caught:
        connect(server, tmp_path, insecure=True).query("up")
    assert caught.value.__cause__ is None


def test_a_folder_that_is_not_there_is_told(server, tmp_path):
    with pytest.raises(PrometheusError, match=r"none does not exist: put there what Prometheus asks for$"):
        connect(server, tmp_path / "none").query("up")
    assert server.asked == []


def test_certificates_are_found_by_their_usual_names(tmp_path):
    assert (Access().find_authority(), Access().find_certificate()) == (None, None)
    empty = Access(tmp_path)
    assert (empty.find_authority(), empty.find_certificate()) == (None, None)
    put(tmp_path, {"ca.crt": "", "tls.crt": "", "tls.key": ""})
    assert empty.find_authority() == f"{tmp_path}/ca.crt"
    assert empty.find_certificate() == (f"{tmp_path}/tls.crt", f"{tmp_path}/tls.key")
    assert Access(tmp_path, insecure=True).find_authority() is False
