"""Bytes that gRPC requests may hold together, and requests that do not run where others arrive."""

import threading

import grpc
import pytest
from waiting import wait_until

from model_server._protos import health_pb2, health_pb2_grpc
from model_server._protos.tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from model_server.errors import NotFoundError
from model_server.grpc_service import GrpcService, GrpcSettings
from model_server.inference import Inference
from model_server.memory_limit import RequestLimits
from model_server.metrics import Metrics
from model_server.turns import LARGEST_BYTES, check_work

WAIT_SECONDS = 20.0
LIMITS = RequestLimits(grpc_bytes=1_000_000)


class Plane:
    """Knows no model, and says so when it may; remembers the threads that asked."""

    busy, ready = False, True

    def __init__(self):
        self.metrics = Metrics(())
        self.go_on, self.threads, self.tidied = threading.Event(), [], 0
        self.go_on.set()

    def acquire(self, spec):
        """Nothing, after the work that its name promises."""
        self.threads.append(threading.current_thread().name)
        assert self.go_on.wait(WAIT_SECONDS)
        if spec.name == "grows":
            check_work(10**9)
        raise NotFoundError("no such model")

    def tidy(self):
        """A large request is answered."""
        self.tidied += 1


class Running:
    """The service over that, and clients for it."""

    def __init__(self, socket_path, *, inline):
        self.plane = Plane()
        settings = GrpcSettings("127.0.0.1", 0, socket_path, 4, inline=inline)
        self.service = GrpcService(self.plane, Inference(), settings, None, LIMITS)
        self.service.start()
        self.channel = grpc.insecure_channel(f"unix:{socket_path}")
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self._health = health_pb2_grpc.HealthStub(self.channel)

    def ask(self, size_bytes, name="m"):
        """A call with so many bytes."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.inputs["x"].tensor_content = b"x" * size_bytes
        return self._prediction.Predict.future(request, timeout=WAIT_SECONDS)

    def check(self, service=""):
        """The health."""
        return self._health.Check(health_pb2.HealthCheckRequest(service=service), timeout=WAIT_SECONDS).status

    def stop(self):
        """End it."""
        self.plane.go_on.set()
        self.channel.close()
        self.service.stop(5.0)


@pytest.fixture
def start(tmp_path):
    started = []

    def start_one(*, inline=False):
        started.append(Running(tmp_path / "socket", inline=inline))
        return started[-1]

    yield start_one
    for running in started:
        running.stop()


def test_more_bytes_than_the_memory_allows_are_refused_until_others_are_answered(start):
    running = start()
    assert running.ask(900_000).code() is grpc.StatusCode.NOT_FOUND
    running.plane.go_on.clear()
    first = running.ask(600_000)
    wait_until(lambda: len(running.plane.threads) == 2)
    second = running.ask(600_000)
    assert second.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert second.details().startswith("Requests of 1000000 bytes are under way")
    assert running.check() == health_pb2.HealthCheckResponse.SERVING
    small = running.ask(100_000)
    running.plane.go_on.set()
    assert (first.code(), small.code()) == (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.NOT_FOUND)
    wait_until(lambda: running.service._held_bytes == 0)
    assert running.ask(900_000).code() is grpc.StatusCode.NOT_FOUND


def test_a_message_that_never_fits_is_refused_before_it_is_read(start):
    running = start()
    assert running.ask(1_000_001).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert running.plane.threads == []


def test_a_small_request_that_becomes_a_large_one_is_begun_anew_on_another_thread(start):
    running = start(inline=True)
    assert running.ask(10).code() is grpc.StatusCode.NOT_FOUND
    assert running.plane.threads[-1] == "grpc"
    assert running.plane.tidied == 0
    assert running.ask(10, "grows").code() is grpc.StatusCode.NOT_FOUND
    assert running.plane.threads[-1].startswith("grpc_")
    assert len(running.plane.threads) == 3
    wait_until(lambda: running.plane.tidied == 1)


def test_a_long_question_for_health_stands_in_line_with_predictions(start):
    running = start()
    running.plane.go_on.clear()
    asked = [running.ask(10) for _ in range(4)]
    wait_until(lambda: len(running.plane.threads) == 4)
    assert running.check() == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as refused:
        running.check("x" * LARGEST_BYTES)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    running.plane.go_on.set()
    assert {call.code() for call in asked} == {grpc.StatusCode.NOT_FOUND}
