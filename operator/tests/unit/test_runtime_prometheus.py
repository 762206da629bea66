import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from model_operator.errors import PrometheusError
from model_operator.prometheus import ApiPrometheus


@pytest.fixture
def server():
    """A server whose one answer a test sets: `status` and `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            data = self.server.answer.encode()
            self.send_response(self.server.status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            """Quiet."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    http.asked, http.status, http.answer = [], 200, ""
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield http
    http.shutdown()
    thread.join()
    http.server_close()


def vector(*samples):
    result = [{"metric": metric, "value": [1700000000.1, value]} for metric, value in samples]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


def ask(server, query="up"):
    return ApiPrometheus(f"http://127.0.0.1:{server.server_port}/", timeout_seconds=2).query(query)


def test_values_come_by_their_pod(server):
    server.answer = vector(({"pod": "a"}, "1.5"), ({"pod": "b"}, "2e3"))
    assert ask(server, 'sum({a="b"})') == {"a": 1.5, "b": 2000.0}
    assert server.asked == ["/api/v1/query?query=sum%28%7Ba%3D%22b%22%7D%29"]


def test_an_empty_answer_is_no_value(server):
    server.answer = vector()
    assert ask(server) == {}


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
def test_what_is_not_finite_is_no_value(server, value):
    server.answer = vector(({}, value), ({"pod": "a"}, "1"))
    assert ask(server) == {"a": 1.0}


@pytest.mark.parametrize("answer", ["<html>", "[]", '{"data": {"result": [{"metric": {}}]}}', '{"data": null}'])
def test_another_servers_answer_is_told(server, answer):
    server.answer = answer
    with pytest.raises(PrometheusError, match=r"the answer of http://127\.0\.0\.1:\d+ is not Prometheus'"):
        ask(server)


def test_an_error_of_prometheus_is_told_once_and_not_asked_again(server):
    server.status, server.answer = 503, "starting"
    with pytest.raises(PrometheusError, match=r"does not answer: .*503.*starting"):
        ask(server)
    assert len(server.asked) == 1


def test_a_prometheus_that_is_away_is_told():
    with pytest.raises(PrometheusError, match=r"Prometheus at http://127\.0\.0\.1:1 does not answer: .*refused"):
        ApiPrometheus("http://127.0.0.1:1", timeout_seconds=2).query("up")
