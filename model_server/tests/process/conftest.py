"""A real server process on loopback ports."""

import json
import random
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from waiting import wait_until

from model_server._protos import health_pb2_grpc
from model_server._protos.tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

START_SECONDS = 30.0


def find_free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different, and of those that outgoing connections never take."""
    listeners = []
    for port in random.sample(range(15_000, 32_000), 1000):
        with suppress(OSError):
            listeners.append(socket.create_server(("127.0.0.1", port)))
        if len(listeners) == count:
            break
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


class Server:
    """One server process, with clients for its ports."""

    def __init__(self, base_path: Path, log: Path, *flags: str, stdout: int | None = None) -> None:
        self.grpc_port, self.rest_port = find_free_ports(2)
        self.log_file = log
        command = [
            *(sys.executable, "-m", "model_server", "--bind_address=127.0.0.1", "--model_name=m"),
            *(
                f"--port={self.grpc_port}",
                f"--rest_api_port={self.rest_port}",
                f"--model_base_path={base_path}",
                *flags,
            ),
        ]
        with log.open("wb") as stream:
            self.process = subprocess.Popen(command, stdout=stream if stdout is None else stdout, stderr=stream)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}")
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def log(self) -> str:
        """What the process printed so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def http(self, path, body=None, method=None, headers=None):
        """Status and body of one request; status 0 stands for no connection."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.rest_port}{path}", data=body, method=method, headers=headers or {}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (urllib.error.URLError, ConnectionError) as error:
            return 0, str(error)

    def predict(self, document, path="/v1/models/m:predict"):
        """Status and parsed answer of one prediction."""
        status, body = self.http(path, json.dumps(document).encode())
        return status, json.loads(body)

    def wait_ready(self) -> None:
        """Wait until the server takes requests; a process that ended fails at once."""

        def ready():
            assert self.process.poll() is None, self.log()
            return self.http("/readyz")[0] == 200

        wait_until(ready)

    def wait_exit(self, timeout_seconds: float = START_SECONDS) -> int:
        """The exit code."""
        return self.process.wait(timeout_seconds)

    def stop(self) -> int:
        """End the process with SIGTERM."""
        self.channel.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.wait_exit()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers of <tmp>/models/m; all of them are stopped at the end."""
    servers: list[Server] = []

    def start(*flags: str, ready: bool = True, stdout: int | None = None) -> Server:
        server = Server(tmp_path / "models/m", tmp_path / f"server-{len(servers)}.log", *flags, stdout=stdout)
        servers.append(server)
        if ready:
            server.wait_ready()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def monitoring_flag(tmp_path: Path) -> str:
    """The flag that switches metrics on."""
    file = tmp_path / "monitoring.txt"
    file.write_text('prometheus_config { enable: true path: "/metrics" }')
    return f"--monitoring_config_file={file}"


@pytest.fixture(name="wait_until")
def wait_until_fixture():
    """`wait_until(predicate, timeout_seconds)`."""
    return wait_until
