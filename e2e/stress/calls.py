"""What the clients of the stress do by gRPC, in plain text or with TLS; each function does one thing to the server.

The model halves and adds two.
"""

import random
import socket
import struct
from collections.abc import Callable, Iterator

import grpc
import numpy as np

from model_server._protos.tensorflow.core.framework import types_pb2
from model_server._protos.tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from stress.servers import HOST, Server

TIMEOUT_SECONDS = 180
LARGE_VALUES = 2_500_000
PREDICT = "/tensorflow.serving.PredictionService/Predict"
# What a server that sheds load may say instead of an answer.
SHED_CODES = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE})
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = b"\0\0\0\4\0\0\0\0\0"
GARBAGE = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"\0" * 1000,
    _PREFACE,
    _PREFACE + _SETTINGS + b"\xff\xff\xff\x01\x05\0\0\0\1",
    # A frame of headers that is cut short.
    _PREFACE + _SETTINGS + b"\0\0\x40\1\4\0\0\0\1" + b"\x82\x86",
)


class Shed(Exception):  # noqa: N818  # no fault
    """The server said that it had too much to do."""


class WrongAnswerError(Exception):
    """The server said what it should not have said."""


def connect_idly(server: Server, count: int) -> Iterator[grpc.Channel]:
    """Connections of their own that are made, and asked for nothing."""
    for number in range(count):
        channel = server.channel(number)
        grpc.channel_ready_future(channel).result(TIMEOUT_SECONDS)
        yield channel


class Calls:
    """One client of one server by gRPC. Functions raise `Shed`, `WrongAnswerError`, and gRPC's and sockets' errors."""

    def __init__(self, server: Server, channel: grpc.Channel, draw: random.Random) -> None:
        self._server = server
        self._channel = channel
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._random = draw

    def ask(self) -> None:
        """One prediction."""
        self._ask(self._stub, draw_values(self._random, self._random.randint(1, 20)))

    def ask_much(self) -> None:
        """Ten megabytes there and ten back."""
        self._ask(self._stub, np.resize(draw_values(self._random, 1000), (LARGE_VALUES, 1)))

    def ask_badly(self) -> None:
        """What must be refused, and how."""
        request = render_request(draw_values(self._random, 4))
        tensor = request.inputs["x"]
        kind = self._random.randrange(4)
        if kind == 0:
            tensor.dtype = types_pb2.DT_DOUBLE
        elif kind == 1:
            tensor.tensor_shape.dim[0].size = self._random.choice([-1, 5, 2**40, 0])
        elif kind == 2:
            tensor.tensor_content = tensor.tensor_content[:-1]
        else:
            request.model_spec.name = "nobody"
        expected = grpc.StatusCode.NOT_FOUND if kind == 3 else grpc.StatusCode.INVALID_ARGUMENT
        _expect({expected}, lambda: self._stub.Predict(request, timeout=TIMEOUT_SECONDS))

    def ask_without_message(self) -> None:
        """End the call before a request was sent, or send bytes that are none."""
        if self._random.random() < 0.5:
            call = self._channel.stream_unary(PREDICT)
            _expect({grpc.StatusCode.UNIMPLEMENTED}, lambda: call(iter(()), timeout=TIMEOUT_SECONDS))
        else:
            raw = self._channel.unary_unary(PREDICT)
            _expect({grpc.StatusCode.INTERNAL}, lambda: raw(b"\xff\xff\xff", timeout=TIMEOUT_SECONDS))

    def cancel(self) -> None:
        """Ask, and say at once that it does not matter any more."""
        self._stub.Predict.future(self._draw_request(), timeout=TIMEOUT_SECONDS).cancel()

    def run_out_of_time(self) -> None:
        """Ask with a deadline that can hardly be kept."""
        values = draw_values(self._random, 20)
        try:
            self._check(values, self._stub.Predict(render_request(values), timeout=self._random.uniform(1e-4, 3e-3)))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED and error.code() not in SHED_CODES:
                raise

    def connect(self) -> None:
        """A connection of its own for one request."""
        with self._server.channel(self._random.randrange(2)) as channel:
            self._ask(prediction_service_pb2_grpc.PredictionServiceStub(channel), draw_values(self._random, 5))

    def hang_up(self) -> None:
        """End the connection while the server answers."""
        with self._server.channel(self._random.randrange(2)) as channel:
            grpc.channel_ready_future(channel).result(TIMEOUT_SECONDS)
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            for _ in range(3):
                stub.Predict.future(self._draw_request(), timeout=TIMEOUT_SECONDS)

    def connect_without_certificate(self) -> None:
        """Nobody is let in who shows none; in plain text there is none to show."""
        with self._server.channel(with_certificate=False) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            _expect({grpc.StatusCode.UNAVAILABLE}, lambda: stub.Predict(self._draw_request(), timeout=TIMEOUT_SECONDS))

    def send_garbage(self) -> None:
        """Bytes that are no gRPC, with a farewell or a reset."""
        with socket.create_connection((HOST, self._server.grpc_port), timeout=TIMEOUT_SECONDS) as connection:
            if self._random.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(self._random.choice(GARBAGE))

    def _ask(self, stub: prediction_service_pb2_grpc.PredictionServiceStub, values: np.ndarray) -> None:
        try:
            response = stub.Predict(render_request(values), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            if error.code() in SHED_CODES:
                raise Shed from error
            raise
        self._check(values, response)

    def _check(self, values: np.ndarray, response: predict_pb2.PredictResponse) -> None:
        answer = np.fromiter(response.outputs["y"].float_val, np.float32)
        if not np.array_equal(answer, values.reshape(-1) / 2 + 2):
            raise WrongAnswerError(f"{str(response)[:200]} for {values[:5]}")

    def _draw_request(self) -> predict_pb2.PredictRequest:
        return render_request(draw_values(self._random, 20))


def _expect(codes: set[grpc.StatusCode], call: Callable[[], object]) -> None:
    try:
        answer = call()
    except grpc.RpcError as error:
        if error.code() in SHED_CODES - codes:
            raise Shed from error
        if error.code() not in codes:
            raise WrongAnswerError(f"{error.code()} {error.details()}, not {codes}") from error
        return
    raise WrongAnswerError(f"answered with {str(answer)[:200]}, not {codes}")


def draw_values(draw: random.Random, count: int) -> np.ndarray:
    """Whole numbers whose halves are exact, in the declared shape or in another one, which another graph answers."""
    values = np.array([draw.randrange(-1000, 1000) for _ in range(count)], np.float32)
    return values.reshape(-1, 1) if draw.random() < 0.5 else values


def render_request(values: np.ndarray) -> predict_pb2.PredictRequest:
    """A request with the values in bytes."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    tensor = request.inputs["x"]
    tensor.dtype = types_pb2.DT_FLOAT
    tensor.tensor_content = values.tobytes()
    for size in values.shape:
        tensor.tensor_shape.dim.add().size = size
    return request
