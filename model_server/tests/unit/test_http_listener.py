import socket
import time
from contextlib import suppress

import pytest

from model_server import http_service
from model_server.errors import StartupError
from model_server.http_service import HttpService, _listen
from model_server.inference import Inference
from model_server.metrics import Metrics
from model_server.predict import DataPlane
from model_server.repository import Repository
from model_server.rest_routes import RestRoutes, RestSettings
from model_server.served_model import Polling


def test_connections_send_at_once():
    with _listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_busy_port_is_refused_with_the_flag():
    with _listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        settings = RestSettings("127.0.0.1", port, 1, 1.0, None, cors=False)
        with pytest.raises(StartupError, match=f"--rest_api_port={port} cannot be opened for HTTP"):
            HttpService(None, settings).start()


@pytest.fixture
def service(monkeypatch):
    """A service that knows no model and loses its patience in no time."""
    monkeypatch.setattr(http_service, "_SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(http_service, "STALLED_SECONDS", 0.3)
    monkeypatch.setattr(http_service, "IDLE_SECONDS", 2.0)
    with _listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    repository = Repository(lambda *_: None, Polling(0, 0, 0))
    settings = RestSettings("127.0.0.1", port, 1, 1.0, None, cors=False)
    started = HttpService(RestRoutes(DataPlane(repository, Metrics(repository)), Inference(), settings), settings)
    started.start()
    yield started, port
    started.stop(5.0)


def test_who_begins_a_request_and_sends_nothing_more_is_let_go_before_who_is_idle(service):
    host, port = service
    begun = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as stalled,
        socket.create_connection(("127.0.0.1", port), timeout=20) as idle,
    ):
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in idle.recv(1000)
        stalled.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + b"1" * 50)
        with suppress(ConnectionResetError):
            assert stalled.recv(1000) == b""
        stalled_seconds = time.monotonic() - begun
        assert host.buffered_bytes == 0
        assert idle.recv(1000) == b""
        assert 0.3 <= stalled_seconds < 2.0 <= time.monotonic() - begun
    assert host.connections == set()
