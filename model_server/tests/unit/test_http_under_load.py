"""Requests that are not what they seem, and clients that do not read: the service with routes of the test's own."""

import gzip
import socket
import threading
import time
import tracemalloc

import pytest
from waiting import wait_until

from model_server import http_connection, http_service
from model_server.http_connection import Connection
from model_server.http_service import HttpService, _listen
from model_server.memory_limit import RequestLimits
from model_server.rest_routes import RestResponse, RestSettings
from model_server.turns import check_work

WAIT_SECONDS = 20.0
LARGE_ANSWER = "x" * 30_000_000


class Routes:
    """Remembers which thread answered what, and what was given back after it."""

    busy = False

    def __init__(self):
        self.asked, self.tidied, self.arrivals, self.ends = [], [], [], []
        self.begun, self.sent = threading.Event(), threading.Event()

    def answer(self, request):
        """A large answer for a model of that name; one that grows is for other threads."""
        self.asked.append((request.path.rpartition("/")[2], threading.current_thread().name))
        self.arrivals.append(request.arrived_seconds)
        if "waits" in request.path:
            self.begun.set()
            assert self.sent.wait(WAIT_SECONDS)
            self.ends.append(time.perf_counter())
        if "grows" in request.path:
            check_work(10**9)
        return RestResponse(200, LARGE_ANSWER if "large" in request.path else "k")

    def observe_queue(self, seconds):
        """A request waited."""
        assert seconds >= 0

    def tidy(self):
        """A large request is answered."""
        self.tidied.append(threading.current_thread().name)


class Running:
    """The service with those routes."""

    def __init__(self, limits=None):
        with _listen("127.0.0.1", 0) as listener:
            self.port = listener.getsockname()[1]
        self.routes = Routes()
        settings = RestSettings("127.0.0.1", self.port, 1, 10.0, None, cors=False, inline=True)
        self.service = HttpService(self.routes, settings, None, limits)
        self.service.start()
        self._stopped_seconds = None

    def connect(self, receive_buffer_bytes=None):
        """A connection, of a client whose system takes no more than this for it."""
        connection = socket.socket()
        if receive_buffer_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        connection.settimeout(WAIT_SECONDS)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def ask(self, name, body=b"1", *headers):
        """The status."""
        with self.connect() as connection:
            connection.sendall(render_post(name, body, *headers))
            return int(connection.recv(65_536).split()[1])

    def stop(self):
        """End it once; the answer is how long that took."""
        if self._stopped_seconds is None:
            begun = time.monotonic()
            self.service.stop(10.0)
            self._stopped_seconds = time.monotonic() - begun
        return self._stopped_seconds


def render_post(name, body=b"1", *headers):
    lines = [f"POST /v1/models/{name}:predict HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class RecordingHost:
    """Keeps the requests that a connection dispatches."""

    draining, extra_headers, largest_buffered_bytes = False, b"", 2**30

    def __init__(self):
        self.connections, self.buffered_bytes, self.requests = set(), 0, []

    def date_arrival(self):
        """Any time will do."""
        return 0.0

    def dispatch(self, request, _connection):
        """Keep it; nobody answers."""
        self.requests.append(request)


def render_chunks(*parts):
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def begin_chunked():
    """A connection on which a chunked body follows, and its host."""
    host = RecordingHost()
    connection = Connection(host)
    connection.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    return connection, host


def read_rest(connection):
    """What comes until the server closes."""
    received = b""
    while chunk := connection.recv(2**20):
        received += chunk
    return received


@pytest.fixture
def start():
    started = []

    def start_one(limits=None):
        started.append(Running(limits))
        return started[-1]

    yield start_one
    for running in started:
        running.stop()


def test_what_comes_during_a_prediction_is_dated_before_its_end(start):
    """Else latencies would lack the wait for the end of another's prediction."""
    running = start()
    routes = running.routes
    with running.connect() as first, running.connect() as second, running.connect() as third:
        first.sendall(render_post("waits"))
        assert routes.begun.wait(WAIT_SECONDS)
        for connection in (second, third):
            connection.sendall(render_post("plain"))
        time.sleep(1.0)
        routes.sent.set()
        assert [connection.recv(65_536)[9:12] for connection in (first, second, third)] == [b"200"] * 3
    assert all(arrived < routes.ends[0] - 0.4 for arrived in routes.arrivals)
    assert running.ask("plain") == 200
    assert routes.arrivals[-1] > routes.ends[0]


def test_what_is_packed_is_not_run_where_others_arrive(start):
    running = start()
    packed = gzip.compress(b"1" * 3_000_000)
    assert running.ask("plain") == 200
    assert running.ask("small", gzip.compress(b"1"), "content-encoding: gzip") == 200
    assert running.ask("packed", packed, "content-encoding: gzip") == 200
    assert running.routes.asked == [
        ("plain:predict", "http"),
        ("small:predict", "rest-0"),
        ("packed:predict", "rest-large"),
    ]


def test_what_they_take_is_given_back(start):
    running = start()
    running.ask("packed", gzip.compress(b"1" * 3_000_000), "content-encoding: gzip")
    running.ask("grows")
    assert running.routes.asked == [
        ("packed:predict", "rest-large"),
        ("grows:predict", "http"),
        ("grows:predict", "rest-large"),
    ]
    wait_until(lambda: running.routes.tidied == ["rest-large", "rest-large"])
    wait_until(lambda: running.service.buffered_bytes == 0)


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (b"1" * 200_001, (), b"larger than the 200000 bytes"),
        (gzip.compress(b"1" * 200_001), ("content-encoding: gzip",), b"larger than the 200000 bytes"),
    ],
)
def test_more_than_the_memory_allows_is_refused_and_what_fits_is_answered(start, body, headers, words):
    running = start(RequestLimits(rest_bytes=200_000))
    with running.connect() as connection:
        connection.sendall(render_post("m", body, *headers))
        received = connection.recv(65_536)
    assert received.startswith(b"HTTP/1.1 429")
    assert words in received
    assert running.ask("m", b"1" * 200_000) == 200
    assert running.ask("m", gzip.compress(b"1" * 200_000), "content-encoding: gzip") == 200
    wait_until(lambda: running.service.buffered_bytes == 0)


def test_a_body_of_tiny_chunks_takes_little_more_than_its_bytes():
    connection, host = begin_chunked()
    tiny = render_chunks(b"ab") * 1000
    tracemalloc.start()
    try:
        for _ in range(100):
            connection.data_received(tiny)
        held_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert host.buffered_bytes == 200_000
    assert held_bytes < 2 * host.buffered_bytes
    connection.data_received(b"0\r\n\r\n")
    assert host.requests[0].body == b"ab" * 100_000


def test_parts_of_all_sizes_are_joined_in_their_order():
    connection, host = begin_chunked()
    parts = [bytes([number]) * size for number, size in enumerate([1, 2, 5000, 3, 4095, 4096, 7000, 2, 1])]
    for part in parts:
        connection.data_received(render_chunks(part))
    connection.data_received(b"0\r\n\r\n")
    assert host.requests[0].body == b"".join(parts)
    assert type(host.requests[0].body) is bytes
    assert host.buffered_bytes == sum(map(len, parts))


def test_what_is_refused_behind_a_request_does_not_cost_that_its_answer(start, monkeypatch):
    monkeypatch.setattr(http_connection, "_LINGER_SECONDS", 0.1)
    running = start()
    with running.connect() as connection:
        # So long that it is run where it holds up nobody.
        connection.sendall(render_post("waits", b"1" * 200_000) + b"no request\r\n\r\n")
        assert running.routes.begun.wait(WAIT_SECONDS)
        time.sleep(0.5)
        running.routes.sent.set()
        received = read_rest(connection)
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b"connection: close\r\n\r\nk")


def test_a_refusal_does_not_come_before_the_answers_of_those_who_wait(start):
    running = start()
    with running.connect(receive_buffer_bytes=4096) as connection:
        connection.sendall(render_post("large") + render_post("second") + b"no request\r\n\r\n")
        wait_until(lambda: running.service.buffered_bytes > 10_000_000)
        received = read_rest(connection)
    assert [name for name, _ in running.routes.asked] == ["large:predict", "second:predict"]
    assert received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 200 ") == 2
    assert received.endswith(b"connection: close\r\n\r\nk")


def test_who_does_not_read_is_counted_and_let_go(start, monkeypatch):
    monkeypatch.setattr(http_service, "_SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(http_service, "STALLED_SECONDS", 0.5)
    running = start(RequestLimits(rest_bytes=1_000_000))
    with running.connect(receive_buffer_bytes=4096) as unread:
        unread.sendall(render_post("large", b"1", "connection: close"))
        wait_until(lambda: running.service.buffered_bytes > 10_000_000)
        assert running.ask("m") == 429
        with running.connect() as other:
            other.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert other.recv(1000).startswith(b"HTTP/1.1 200")
        wait_until(lambda: running.service.buffered_bytes == 0)
        assert running.ask("m") == 200


def test_who_reads_slowly_is_answered_whole(start, monkeypatch):
    monkeypatch.setattr(http_service, "_SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(http_service, "STALLED_SECONDS", 1.0)
    running = start()
    begun, received = time.monotonic(), 0
    with running.connect(receive_buffer_bytes=65_536) as slow:
        slow.sendall(render_post("large", b"1", "connection: close"))
        while chunk := slow.recv(2**20):
            received += len(chunk)
            if time.monotonic() - begun < 3.0:
                time.sleep(0.1)
    assert received > len(LARGE_ANSWER)


def test_who_does_not_read_is_asked_for_nothing_more_until_it_does(start):
    running = start()
    with running.connect(receive_buffer_bytes=4096) as connection:
        connection.sendall(render_post("large") + render_post("second") * 100)
        wait_until(lambda: running.service.buffered_bytes > 10_000_000)
        assert [name for name, _ in running.routes.asked] == ["large:predict"]
        answered = 0
        while answered < 100:
            answered += connection.recv(2**20).count(b"k")
    assert len(running.routes.asked) == 101


def test_a_drain_does_not_wait_for_who_does_not_read(start, monkeypatch):
    monkeypatch.setattr(http_service, "STALLED_AT_END_SECONDS", 0.3)
    running = start()
    with running.connect(receive_buffer_bytes=4096) as unread:
        unread.sendall(render_post("large"))
        wait_until(lambda: running.service.buffered_bytes > 10_000_000)
        assert running.stop() < 5.0


def test_a_readiness_that_was_being_asked_when_the_end_came_is_answered(start):
    running = start()
    with running.connect() as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nhost")
        wait_until(lambda: any(each.receiving for each in list(running.service.connections)))
        stopping = threading.Thread(target=running.stop)
        stopping.start()
        wait_until(lambda: running.service.draining)
        connection.sendall(b": x\r\n\r\n")
        received = b""
        while chunk := connection.recv(1000):
            received += chunk
        stopping.join(WAIT_SECONDS)
    assert received.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in received
