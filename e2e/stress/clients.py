"""The clients of the stress: those that ask well and check the answers, and those that do everything else.

The model halves and adds two. Each function does one thing to the server and says how many requests that was.
"""

import json
import random
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc
import numpy as np

from model_server._protos.tensorflow.core.framework import types_pb2
from model_server._protos.tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

HOST = "127.0.0.1"
TIMEOUT_SECONDS = 60
LARGE_BODY_BYTES = 10_000_000
_PATH = "/v1/models/m:predict"
# What a server that sheds load may say instead of an answer.
_SHED = {429, 503}
_SHED_CODES = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}
# Bodies, and the status that each must get.
BAD_BODIES: tuple[tuple[bytes, int], ...] = (
    (b"", 400),
    (b"{", 400),
    (b"[" * 100_000, 400),
    (b'{"instances": []}', 400),
    (b'{"instances": [[1], [2, 3]]}', 400),
    (b'{"instances": ["x"]}', 400),
    (b'{"instances": [1], "inputs": [1]}', 400),
    (b'{"instances": [1], "signature_name": "nobody"}', 400),
    (b'{"instances": [{"b64": "!"}]}', 400),
    (b"\xff\xfe\x00", 400),
)
GARBAGE = (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"\0" * 1000, b"PRI * HTTP/2.0\r\n\r\n")


@dataclass
class Outcome:
    """What the clients saw; one object for each client."""

    requests: int = 0
    shed: int = 0
    wrong: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)


class RestAsker:
    """One kept connection, made anew when it was ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None

    def ask(self, body: bytes, path: str = _PATH, *, pause_seconds: float = 0.0) -> tuple[int, bytes]:
        """Status and body; with a pause in the middle of sending."""
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        connection = self._connection or socket.create_connection((HOST, self._port), timeout=TIMEOUT_SECONDS)
        self._connection = None
        if pause_seconds:
            connection.sendall(head[:20])
            time.sleep(pause_seconds)
            connection.sendall(head[20:] + body[: len(body) // 2])
            time.sleep(pause_seconds)
            connection.sendall(body[len(body) // 2 :])
        else:
            connection.sendall(head + body)
        status, answer = _read_response(connection)
        self._connection = connection
        return status, answer

    def vanish(self, body: bytes) -> None:
        """Ask, and be gone before the answer, with a reset instead of a farewell."""
        head = f"POST {_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection((HOST, self._port), timeout=TIMEOUT_SECONDS) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(head + body)

    def send_garbage(self, garbage: bytes) -> None:
        """What is no HTTP; the server may say so or hang up."""
        with socket.create_connection((HOST, self._port), timeout=TIMEOUT_SECONDS) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass

    def close(self) -> None:
        """End the kept connection."""
        if self._connection is not None:
            self._connection.close()


def _read_response(connection: socket.socket) -> tuple[int, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(connection)
    head, body = received.split(b"\r\n\r\n", 1)
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    pieces, so_far = [body], len(body)
    while so_far < length:
        pieces.append(_receive(connection))
        so_far += len(pieces[-1])
    return int(head.split()[1]), b"".join(pieces)


def _receive(connection: socket.socket) -> bytes:
    received = connection.recv(1_048_576)
    if not received:
        raise ConnectionError("the server closed the connection in the middle of an answer")
    return received


class Client:
    """One client that asks well and ill by turns, drawn from its own seed."""

    def __init__(self, rest_port: int, stub: prediction_service_pb2_grpc.PredictionServiceStub, seed: int) -> None:
        self.outcome = Outcome()
        self._rest = RestAsker(rest_port)
        self._stub = stub
        self._random = random.Random(seed)  # noqa: S311
        self._choices = [
            (self._ask_rest, 2500),
            (self._ask_grpc, 2000),
            (self._ask_badly, 300),
            (self._ask_grpc_badly, 150),
            (self._vanish, 50),
            (self._cancel, 50),
            (self._ask_slowly, 10),
            (self._send_garbage, 25),
            (self._ask_much, 1),
        ]

    def step(self) -> None:
        """One request of some kind; what the server should not have done is noted."""
        actions, weights = zip(*self._choices, strict=True)
        (action,) = self._random.choices(actions, weights)
        self.outcome.requests += 1
        self.outcome.kinds[action.__name__.removeprefix("_")] += 1
        try:
            action()
        except (OSError, grpc.RpcError, ValueError, IndexError) as error:
            self._rest.close()
            self._note(action.__name__, f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """End its connection."""
        self._rest.close()

    def _note(self, what: str, seen: str) -> None:
        self.outcome.wrong.append(f"{what}: {seen[:300]}")

    def _values(self, count: int) -> np.ndarray:
        return np.array([self._random.randrange(-1000, 1000) for _ in range(count)], np.float32)

    def _ask_rest(self, *, pause_seconds: float = 0.0) -> None:
        values = self._values(self._random.randint(1, 20))
        body = json.dumps({"instances": values.tolist()}).encode()
        self._check_rest(values, *self._rest.ask(body, pause_seconds=pause_seconds))

    def _check_rest(self, values: np.ndarray, status: int, answer: bytes) -> None:
        if status in _SHED:
            self.outcome.shed += 1
        elif status != 200 or json.loads(answer)["predictions"] != (values / 2 + 2).tolist():
            self._note("REST", f"{status} {answer[:100]!r} for {values[:5]}")

    def _ask_slowly(self) -> None:
        self._ask_rest(pause_seconds=0.3)

    def _ask_much(self) -> None:
        values = np.resize(self._values(1000), LARGE_BODY_BYTES // 6)
        body = json.dumps({"instances": values.tolist()}).encode()
        self._check_rest(values, *self._rest.ask(body))

    def _ask_badly(self) -> None:
        body, expected = self._random.choice(BAD_BODIES)
        status, answer = self._rest.ask(body)
        if status not in {expected, *_SHED} or b'"error"' not in answer:
            self._note("bad body", f"{status} {answer[:100]!r} for {body[:40]!r}")

    def _send_garbage(self) -> None:
        try:
            self._rest.send_garbage(self._random.choice(GARBAGE))
        except ConnectionError:
            self.outcome.kinds["hung up"] += 1

    def _vanish(self) -> None:
        self._rest.vanish(json.dumps({"instances": self._values(20).tolist()}).encode())

    def _ask_grpc(self) -> None:
        values = self._values(self._random.randint(1, 20))
        try:
            response = self._stub.Predict(_render_request(values), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            if error.code() not in _SHED_CODES:
                raise
            self.outcome.shed += 1
        else:
            if list(response.outputs["y"].float_val) != (values / 2 + 2).tolist():
                self._note("gRPC", f"{response} for {values[:5]}")

    def _ask_grpc_badly(self) -> None:
        request = _render_request(self._values(4))
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
        try:
            self._stub.Predict(request, timeout=TIMEOUT_SECONDS)
            self._note("bad call", f"answered for kind {kind}")
        except grpc.RpcError as error:
            if error.code() not in {expected, *_SHED_CODES}:
                self._note("bad call", f"{error.code()} {error.details()} for kind {kind}")

    def _cancel(self) -> None:
        self._stub.Predict.future(_render_request(self._values(20)), timeout=TIMEOUT_SECONDS).cancel()


def _render_request(values: np.ndarray) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    tensor = request.inputs["x"]
    tensor.dtype = types_pb2.DT_FLOAT
    tensor.tensor_content = values.tobytes()
    tensor.tensor_shape.dim.add().size = len(values)
    return request
