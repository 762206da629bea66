import socket

import pytest

from model_server.errors import StartupError
from model_server.http_service import HttpService, _listen
from model_server.rest_routes import RestSettings


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
