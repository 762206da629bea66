"""What SIGTERM ends, and what clients see while it does."""

import signal
import socket
import subprocess
import sys
import threading
import time

import grpc
import pytest

from model_server._protos import health_pb2

PREDICT = "/tensorflow.serving.PredictionService/Predict"


@pytest.fixture
def silent_store(monkeypatch):
    """A store that takes connections and answers nothing; the environment names it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anybody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        listener.settimeout(20)
        yield listener


def test_sigterm_while_an_artifact_is_fetched_ends_within_seconds(start_server, silent_store, tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    server = start_server("--model_base_path=s3://bucket/model.zip", ready=False)
    connection, _ = silent_store.accept()
    with connection:
        assert connection.recv(4) == b"GET "
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        assert time.monotonic() - begun < 5.0
    assert "Traceback" not in server.log()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_call_on_an_open_connection_is_refused_while_the_end_waits_for_others(start_server, add_version, wait_until):
    """Nobody sees NOT_SERVING then: the connections are told to go away, and clients find another server."""
    add_version("half_plus_two", 1)
    server = start_server()
    hold = threading.Event()

    def messages():
        hold.wait(20)
        yield from ()

    try:
        held = server.channel.stream_unary(PREDICT).future(messages(), timeout=20)
        check = server.health.Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert check.status == health_pb2.HealthCheckResponse.SERVING
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "draining" in server.log())
        wait_until(lambda: server.http("/healthz")[0] == 0)

        def refused():
            with pytest.raises(grpc.RpcError) as call:
                server.health.Check(health_pb2.HealthCheckRequest(), timeout=10)
            # the core cancels what came before it was told to shut down, and had not been handed over yet
            assert call.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
            return call.value.code() is grpc.StatusCode.UNAVAILABLE

        wait_until(refused)
        assert server.process.poll() is None
    finally:
        hold.set()
    # It ends in one way or another, and the process with it.
    assert held.code() is not grpc.StatusCode.OK
    assert server.wait_exit() == 0


def test_readyz_that_was_being_asked_when_the_end_came_says_that_it_is_not_ready(start_server, add_version, wait_until):
    add_version("half_plus_two", 1)
    server = start_server()
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nhost")
        wait_until(lambda: server.http("/healthz")[0] == 200)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "draining" in server.log())
        wait_until(lambda: server.http("/healthz")[0] == 0)
        connection.sendall(b": x\r\n\r\n")
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 503 ")
    assert server.wait_exit() == 0


def test_a_signal_that_comes_while_the_event_is_locked_is_heard():
    program = """
import os, signal
from model_server.server import hear_signals
stop = hear_signals()
with stop._cond:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.sigtimedwait([], 0.1)
raise SystemExit(0 if stop.wait(20) else 1)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_does_not_wake_the_main_thread_is_heard(number):
    """As one that comes between Python's last look for signals and the wait, which a test cannot time."""
    program = f"""
import signal, threading, time
from model_server.server import hear_signals
stop = hear_signals()
def receive():
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), {number:d})
threading.Thread(target=receive).start()
raise SystemExit(0 if stop.wait(10) else 1)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0
